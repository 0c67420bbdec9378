"""Stage ``images``: find, verify, hash and de-duplicate the pictures of all corpora."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any

import pyarrow as pa

from spn4cir_core.engine.progress import Progress
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import InputError
from spn4cir_core.images.base import FoundFile
from spn4cir_core.images.contact_sheet import contact_sheet
from spn4cir_core.images.examine import Examiners, Finding
from spn4cir_core.images.file_hashes import all_plain, file_hashes
from spn4cir_core.images.files import NEEDS_CODEC, NEEDS_EXTRA, ImageFiles, PictureError, image_files, legible
from spn4cir_core.images.formats import readable_formats
from spn4cir_core.images.manifest import (
    DROP_SCHEMA,
    DROPS_FILE,
    DUPLICATE_SCHEMA,
    DUPLICATES_FILE,
    IMAGE_SCHEMA,
    MANIFEST_FILE,
    read_dropped_files,
    read_duplicates,
    read_manifest,
)
from spn4cir_core.images.one_colour import one_colour_images, one_colour_warning
from spn4cir_core.images.sandboxed_decoder import CRASHED
from spn4cir_core.images.settings import ImageSettings, ImagesInput
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.draft import Draft
from spn4cir_core.store.fingerprints import fingerprint, json_fingerprint, plain
from spn4cir_core.store.folder_state import code_state
from spn4cir_core.store.notes import CHECKED, read_note, write_note
from spn4cir_core.store.rows import KEY, VALUE, Rows

log = logging.getLogger(__name__)
DECODER_VERSION = 3
"""Goes up whenever the same bytes would give another finding."""
SHARD_FILES = 1024
EVALUATION = "evaluation"
MERGED = 2
"""Version of what becomes of the metadata of exact duplicates."""
SHEET_PICTURES, SHEET_COLUMNS = 24, 8

FINDING_TYPE = pa.struct(
    [
        (field.name, {"str": pa.string(), "int": pa.uint64() if field.name == "phash" else pa.int64()}[str(field.type)])
        for field in fields(Finding)
    ]
)


_listed: dict[str, list[Listed]] = {}
"""The files that the last digest was made of, by corpus: the scan that follows need not list them again. What changes
between the two is found by the digest that is made after the scan."""


@dataclass(frozen=True)
class Listed:
    """A file of a corpus with the hash of its bytes; no hash where its path leads to no file below the root."""

    file: FoundFile
    sha256: str | None


def list_files(settings: ImageSettings, store: Store) -> list[Listed]:
    """Everything the reader finds, sorted by path, with the hashes of the files."""
    listing = sorted(settings.reader.files(store.root), key=lambda file: file.path)
    hashes = file_hashes(image_files(settings, store), [file.path for file in listing], store, settings.workers)
    return [Listed(file, hashes.get(file.path)) for file in listing]


def outside(tables: ImagesInput, store: Store) -> str:
    """A digest of names, bytes and metadata of all files the stage would look at.

    The store keeps it while the file system says that no file has changed, so that nothing is read then.
    """
    settings = tables.images
    state = settings.reader.state(store.root)
    _listed.clear()
    if state is None or code_state() is None:
        return _digest(settings, store)
    corpus = _corpus(settings, store)
    note = store.root / CHECKED / "images" / corpus
    seen = [state, code_state(), DECODER_VERSION, MERGED, *readable_formats()]
    match read_note(note):
        case [str(digest), noted] if noted == seen:
            return digest
    digest = _digest(settings, store, corpus)
    write_note(note, [digest, seen])
    return digest


def _corpus(settings: ImageSettings, store: Store) -> str:
    root, folders = settings.reader.root(store.root), settings.reader.linked_folders()
    return fingerprint({"settings": plain(settings), "folders": list(map(os.fspath, (root, *folders)))})


def _digest(settings: ImageSettings, store: Store, corpus: str = "") -> str:
    """Of the listed files, from their bytes.

    The version of the decoder is in it where one of the files is decoded otherwise than by the first version, and that
    of the merging of duplicates where their metadata can differ.
    """
    listing = list_files(settings, store)
    described = [
        [
            legible(listed.file.path),
            listed.sha256,
            listed.file.corpus,
            listed.file.category,
            listed.file.group,
            listed.file.split,
            dict(listed.file.attributes),
        ]
        for listed in listing
    ]
    paths = {listed.sha256: listed.file.path for listed in listing if listed.sha256 is not None}
    are_plain = all_plain(image_files(settings, store), paths, store, settings.workers)
    later: dict[str, Any] = {} if are_plain else {"decoder": DECODER_VERSION, "formats": readable_formats()}
    if has_gaps([listed.file for listed in listing]):
        later["duplicates"] = MERGED
    if corpus:
        _listed[corpus] = listing
    return json_fingerprint({"files": described, **later} if later else described)


def picture_changes(settings: ImageSettings, store: Store, images: Artifact) -> list[str]:
    """What of the pictures and their metadata differs from what an ``images`` artefact was made of, in sentences."""
    listing = {legible(listed.file.path): listed for listed in list_files(settings, store)}
    rows = {row["path"]: row for row in read_manifest(images).to_pylist()}
    others = {*read_duplicates(images)["path"].to_pylist(), *read_dropped_files(images)["path"].to_pylist()}
    both = [(path, rows[path], listing[path]) for path in sorted(rows.keys() & listing.keys())]
    differing = {
        "new": sorted(listing.keys() - rows.keys() - others),
        "gone": sorted((rows.keys() | others) - listing.keys()),
        "changed": [path for path, row, listed in both if row["sha256"] != listed.sha256],
        "described otherwise by the metadata": [
            path
            for path, row, listed in both
            if _described(listed.file) != [row["category"], row["group"], row["split"], dict(row["attributes"])]
        ],
    }
    return [
        f"{len(paths)} {'file' if len(paths) == 1 else 'files'} {what}, {paths[0]!r}{' …' if len(paths) > 1 else ''}"
        for what, paths in differing.items()
        if paths
    ]


def _described(file: FoundFile) -> list[Any]:
    return [file.category, file.group, file.split, dict(file.attributes)]


def scan_images(work: Work[ImagesInput]) -> None:
    """Write the manifest: one row per distinct picture, its duplicates, and what was dropped and why.

    Raises:
        InputError: there is no picture, or none of them can be used.
    """
    settings, draft = work.settings.images, work.draft
    files = image_files(settings, work.store)
    with draft.timed("read"):
        listing = _listed.pop(_corpus(settings, work.store), None) or list_files(settings, work.store)
    if not listing:
        raise InputError(
            f"no pictures below {files.root}; supported are JPEG, PNG, GIF, WebP, BMP, TIFF, PPM, AVIF and"
            " JPEG 2000, with the extras [heif] and [jxl] HEIC and JPEG XL"
        )
    with draft.timed("compute"):
        findings = examine_files(files, listing, work.store, settings.workers, work.progress)
        images, duplicates, drops = judge(listing, findings, files, settings.min_side_px)
    for drop in drops:
        draft.drop(drop["reason"])
    draft.drop("exact duplicate", len(duplicates))
    if not images:
        raise InputError(f"none of the {len(listing)} files below {files.root} can be used: {_examples(drops)}")
    with draft.timed("write"):
        draft.write_rows(images, IMAGE_SCHEMA, MANIFEST_FILE)
        draft.write_rows(duplicates, DUPLICATE_SCHEMA, DUPLICATES_FILE)
        draft.write_rows(drops, DROP_SCHEMA, DROPS_FILE)
        _write_sheet(draft, files, images)
    ignored = dict(Counter(settings.reader.ignored(work.store.root)).most_common())
    if ignored:
        log.warning("images: not read as pictures: %s", counted(ignored))
    for reason, count in Counter(drop["reason"] for drop in drops).items():
        if reason.startswith(NEEDS_EXTRA):
            extra = reason.removeprefix(f"{NEEDS_EXTRA} ")
            log.warning("images: %d files are %s: pip install 'spn4cir%s'", count, reason, extra)
    flat = one_colour_images(images, files)
    if warning := one_colour_warning(flat, duplicates):
        log.warning("images: %s", warning)
    draft.rows = len(images)
    draft.details = {
        "files": len(listing),
        "images": len(images),
        "duplicates": len(duplicates),
        "dropped": len(drops),
        "corpora": dict(Counter(image["corpus"] for image in images)),
        "categories": dict(Counter(f"{image['corpus']}/{image['category']}" for image in images).most_common(50)),
        "asked_splits": dict(Counter(image["split"] or "none" for image in images)),
        "bytes": sum(image["bytes"] for image in images),
        "not_read": ignored,
        "one_colour": flat,
        "drop_examples": drops[:10],
        "contact_sheet": "contact_sheet.jpg",
    }


def examine_files(
    files: ImageFiles, listing: Iterable[Listed], store: Store, workers: int, progress: Progress
) -> dict[str, Finding]:
    """Findings by SHA-256 of the file; files with known bytes are not decoded again."""
    model = fingerprint({"decoder": DECODER_VERSION, "max_pixels": files.max_pixels})
    rows = Rows(store.rows("file_findings", model), FINDING_TYPE)
    wanted = {listed.sha256: listed.file.path for listed in listing if listed.sha256 is not None}
    findings = {sha256: finding for sha256, finding in _findings(rows) if sha256 in wanted}
    missing = sorted(wanted.keys() - findings.keys(), key=lambda sha256: wanted[sha256])
    progress("examining pictures", len(findings), len(wanted))
    with Examiners(files, workers) as examiners:
        examined = zip(missing, examiners.run([wanted[sha256] for sha256 in missing]), strict=True)
        for _ in range(0, len(missing), SHARD_FILES):
            fresh: dict[str, Finding] = {}
            for sha256, finding in islice(examined, SHARD_FILES):
                fresh[sha256] = finding
                progress("examining pictures", len(findings) + len(fresh), len(wanted))
            findings.update(fresh)
            # A crash may be the machine's fault, a changed file has other bytes, an extra may come: not worth keeping.
            keep = {
                sha256: finding
                for sha256, finding in fresh.items()
                if finding.sha256 == sha256 and not finding.reason.startswith((NEEDS_EXTRA, NEEDS_CODEC))
            }
            if keep:
                rows.append(list(keep), pa.array(map(vars, keep.values()), FINDING_TYPE))
    return findings


def judge(
    listing: Iterable[Listed], findings: dict[str, Finding], files: ImageFiles, min_side_px: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Sort files into distinct images, exact duplicates and drops.

    Of equal pictures the first by path stands for all, with what the metadata of the others says beside its own; one of
    the evaluation split goes before all others, so that no training image is equal to one that is evaluated on.
    """
    images: list[dict[str, Any]] = []
    duplicates: list[dict[str, Any]] = []
    drops: list[dict[str, Any]] = []
    usable: list[tuple[FoundFile, Finding]] = []
    for listed in listing:
        finding = None if listed.sha256 is None else findings[listed.sha256]
        reason, detail = _fault(listed, finding, files, min_side_px)
        if reason or finding is None:
            drops.append({"path": legible(listed.file.path), "reason": reason, "detail": detail})
        else:
            usable.append((listed.file, finding))
    alike: dict[str, list[FoundFile]] = {}
    for file, finding in sorted(usable, key=lambda pair: (pair[0].split != EVALUATION, pair[0].path)):
        alike.setdefault(finding.pixel_sha256, []).append(file)
    for file, finding in usable:
        original_path = alike[finding.pixel_sha256][0].path
        if original_path == file.path:
            images.append(_row(merged(alike[finding.pixel_sha256]), finding))
        else:
            attributes = list(file.attributes.items())
            row = {"image_id": file.path, "path": file.path, "duplicate_of": original_path, "attributes": attributes}
            duplicates.append(row)
    return images, duplicates, drops


def merged(files: Sequence[FoundFile]) -> FoundFile:
    """The first of the files, with the values of the others' metadata where it has none."""
    if len(files) == 1:
        return files[0]
    attributes: dict[str, str] = {}
    for file in files:
        attributes |= {key: value for key, value in file.attributes.items() if not attributes.get(key)}
    return replace(
        files[0],
        category=next((file.category for file in files if file.category), ""),
        group=next((file.group for file in files if file.group), ""),
        attributes=attributes,
    )


def has_gaps(files: Iterable[FoundFile]) -> bool:
    """Whether metadata says of some files what it does not say of others, so that duplicates can differ in it."""
    files = list(files)
    filled = {tuple(key for key, value in file.attributes.items() if value) for file in files}
    return len(set(map(frozenset, filled))) > 1 or len({bool(file.group) for file in files}) > 1


def _fault(listed: Listed, finding: Finding | None, files: ImageFiles, min_side_px: int) -> tuple[str, str]:
    """Reason and detail for which a file is dropped; empty if it is not."""
    if finding is None:
        try:
            files.locate(listed.file.path)
        except PictureError as error:
            return error.reason, error.detail
        return "no such file", "it appeared while the corpus was listed"
    if finding.sha256 != listed.sha256 and finding.reason != CRASHED:
        return "changed during the scan", "its bytes are not those that were listed; run again"
    if finding.reason:
        return finding.reason, finding.detail
    if not listed.file.corpus:
        return "in no corpus", "it lies beside the sub-directories, which are the corpora"
    if min(finding.width, finding.height) < min_side_px:
        return "too small", f"{finding.width} x {finding.height}, the smaller side must be {min_side_px} px or more"
    return "", ""


def _row(file: FoundFile, finding: Finding) -> dict[str, Any]:
    return {
        "image_id": file.path,
        "corpus": file.corpus,
        "category": file.category,
        "path": file.path,
        "width": finding.width,
        "height": finding.height,
        "bytes": finding.bytes,
        "sha256": finding.sha256,
        "pixel_sha256": finding.pixel_sha256,
        "phash": finding.phash,
        "group": file.group,
        "split": file.split,
        "attributes": list(file.attributes.items()),
    }


def _findings(rows: Rows) -> Iterator[tuple[str, Finding]]:
    for table in rows.scan():
        values = table[VALUE].combine_chunks()
        columns = [values.field(field.name).to_pylist() for field in fields(Finding)]
        yield from zip(table[KEY].to_pylist(), map(Finding, *columns), strict=True)


def counted(extensions: Mapping[str, int]) -> str:
    """``9 .mp4, 3 .pdf``: numbers of files by extension, the first ten."""
    return ", ".join(f"{count} {extension}" for extension, count in list(extensions.items())[:10])


def _examples(drops: list[dict[str, Any]]) -> str:
    counts = Counter(drop["reason"] for drop in drops)
    first = {drop["reason"]: drop["path"] for drop in reversed(drops)}
    return "; ".join(f"{count} {reason} (such as {first[reason]!r})" for reason, count in counts.most_common())


def _write_sheet(draft: Draft, files: ImageFiles, images: list[dict[str, Any]]) -> None:
    count = min(SHEET_PICTURES, len(images))
    sample = [images[number * len(images) // count] for number in range(count)]
    pictures = [(files.open(image["path"]), image["path"].rsplit("/", 1)[-1]) for image in sample]
    contact_sheet(pictures, SHEET_COLUMNS).save(draft.file("contact_sheet.jpg"), quality=85)


IMAGES = Stage(name="images", parents=(), view=ImagesInput, version=2, write=scan_images, external_inputs=outside)
