"""Triplets in the JSON layouts of FashionIQ and CIRR, as the published code trains on them (spec §6), and as CSV."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Literal

from spn4cir_core.annotations.import_fashioniq import captions_of
from spn4cir_core.errors import InputError
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.whole_file import whole_file, write_json
from spn4cir_core.triplets.triplet import SCHEMA
from spn4cir_core.triplets.triplet_tables import read_triplets

Layout = Literal["fashioniq", "cirr", "csv"]
Origins = Literal["generated", "annotated", "all"]
Suffix = Literal["clip", "tgcir", "blip", "blip2", "zs"]
"""What the published classes look for in a file's name: of CLIP4CIR, TG-CIR, BLIP4CIR, SPRC, the zero-shot variant."""
SUFFIXES: Mapping[str, Suffix] = {"clip4cir": "clip", "tgcir": "tgcir", "blip4cir": "blip", "sprc": "blip2"}
"""Backbone → suffix of the class that reads its triplets."""
CSV_COLUMNS = ("reference", "target", "modified_text", "modified_texts", "kind", "origin", "weight", "triplet_id")


def export_fashioniq(
    artifact: Artifact,
    path: Path,
    split: str = "train",
    origins: Origins = "generated",
    published_names: Mapping[str, str] = MappingProxyType({}),
) -> list[Path]:
    """Write ``{candidate, target, captions, caption1, caption2}`` per triplet; ``candidate`` is the reference.

    An annotated triplet whose texts are the four joinings of two captions is written as FashionIQ has it: the two
    captions, and nothing else. Images go by their names in the benchmark, other ones by those of their files without
    folder and suffix (with the folder, then with the suffix, where two images would have one name).

    Args:
        artifact: a ``triplets`` artefact.
        path: the JSON file to write.
        split: which triplets: ``train``, ``validation`` or ``evaluation``.
        origins: the published code reads the annotated triplets from the benchmark's own files and adds these, so that
            annotated ones would be there twice.
        published_names: image id → name in its benchmark, see :func:`~spn4cir_core.images.benchmark.published_names`.

    Returns:
        The files written: ``path``, and beside it ``<stem>.images.json``, from name to path below the image root.

    Raises:
        InputError: there is no such triplet, or the file cannot be written.
    """
    triplets, names = _triplets(artifact, split, origins, published_names)
    return _written([_fashioniq_row(row, names) for row in triplets], triplets, names, path)


def _fashioniq_row(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    images = {"candidate": names[row["reference_id"]], "target": names[row["target_id"]]}
    if row["origin"] == "annotated" and (captions := captions_of(row["modified_texts"])):
        return images | {"captions": captions}
    own = {"caption1": row["reference_caption"], "caption2": row["target_caption"]}
    return images | {"captions": row["modified_texts"], **own}


def export_cirr(
    artifact: Artifact,
    path: Path,
    split: str = "train",
    origins: Origins = "generated",
    published_names: Mapping[str, str] = MappingProxyType({}),
) -> list[Path]:
    """Write ``{pairid, reference, target_hard, target_soft, caption, img_set, caption1, caption2}`` per triplet.

    ``caption`` is a text for an annotated triplet and a list for a generated one, from which the published code draws.
    Arguments, result and errors are those of :func:`export_fashioniq`; ``<stem>.images.json`` has the layout of
    CIRR's ``image_splits``.
    """
    triplets, names = _triplets(artifact, split, origins, published_names)
    rows = [
        {
            "pairid": number,
            "reference": names[row["reference_id"]],
            "target_hard": names[row["target_id"]],
            "target_soft": {names[row["target_id"]]: 1.0},
            "caption": row["modified_texts"][0] if _is_single_annotation(row) else row["modified_texts"],
            "img_set": {"id": number, "members": [names[row["reference_id"]], names[row["target_id"]]]},
            "caption1": row["reference_caption"],
            "caption2": row["target_caption"],
        }
        for number, row in enumerate(triplets)
    ]
    return _written(rows, triplets, names, path)


def _is_single_annotation(row: Mapping[str, Any]) -> bool:
    return row["origin"] == "annotated" and len(row["modified_texts"]) == 1


def export_csv(
    artifact: Artifact,
    path: Path,
    split: str = "train",
    origins: Origins = "all",
    published_names: Mapping[str, str] = MappingProxyType({}),
) -> list[Path]:
    """Write a ``triplets.csv`` as a corpus folder may hold; images are paths below the image root.

    Arguments, result and errors are those of :func:`export_fashioniq`.
    """
    triplets, _ = _triplets(artifact, split, origins, published_names)
    rows = [
        {
            "reference": row["reference_path"],
            "target": row["target_path"],
            "modified_text": row["modified_texts"][0],
            "modified_texts": json.dumps(row["modified_texts"], ensure_ascii=False),
            **{name: row[name] for name in ("kind", "origin", "weight", "triplet_id")},
        }
        for row in triplets
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, CSV_COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise InputError(f"cannot export to {path}: {error}; name a file in a folder you may write") from error
    return [path]


@dataclass(frozen=True)
class Export:
    """One layout: what writes it, the name that the published code gives such a file, and what stands in it."""

    write: Callable[[Artifact, Path, str, Origins, Mapping[str, str]], list[Path]]
    name: str
    origins: Origins


EXPORTS: Mapping[Layout, Export] = {
    "fashioniq": Export(export_fashioniq, "cap.extend_{suffix}.{split}.json", "generated"),
    "cirr": Export(export_cirr, "cap.rc2.{split}.extend_{suffix}.json", "generated"),
    "csv": Export(export_csv, "triplets.{split}.csv", "all"),
}


def export_triplets(
    artifact: Artifact,
    layout: Layout,
    folder: Path,
    split: str = "train",
    origins: Origins | None = None,
    suffix: Suffix = "clip",
    published_names: Mapping[str, str] = MappingProxyType({}),
) -> list[Path]:
    """Write the triplets of one split into a folder, under the name by which the published code looks for them.

    Args:
        origins: None takes what the layout's files hold: generated triplets, of ``csv`` all.
        suffix: which published class is to read the file.

    Raises:
        InputError: there is no such triplet, or the folder cannot be written.
    """
    export = EXPORTS[layout]
    path = folder / export.name.format(split=split, suffix=suffix)
    return export.write(artifact, path, split, origins or export.origins, published_names)


def _triplets(
    artifact: Artifact, split: str, origins: Origins, published_names: Mapping[str, str]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    rows = [
        row
        for row in read_triplets(artifact, *SCHEMA.names).to_pylist()
        if row["split"] == split and origins in ("all", row["origin"])
    ]
    if not rows:
        none = "none" if origins == "all" else f"no {origins} ones"
        raise InputError(f"triplets {artifact.fingerprint} have {none} of split {split!r} to export")
    image_ids = {row[side] for row in rows for side in ("reference_id", "target_id")}
    known = {image_id: published_names[image_id] for image_id in image_ids & published_names.keys()}
    return rows, known | _names(image_ids - known.keys())


def _names(image_ids: Collection[str]) -> dict[str, str]:
    """The shortest name of each image that no other one has."""
    names = {image_id: image_id for image_id in image_ids}
    for short in (lambda path: str(path.with_suffix("")), lambda path: path.stem):
        shorter = {image_id: short(PurePosixPath(image_id)) for image_id in image_ids}
        shared = Counter(shorter.values())
        names |= {image_id: name for image_id, name in shorter.items() if shared[name] == 1}
    return names


def _written(
    rows: list[dict[str, Any]], triplets: list[dict[str, Any]], names: dict[str, str], path: Path
) -> list[Path]:
    paths = {
        names[row[f"{side}_id"]]: f"./{row[f'{side}_path']}" for row in triplets for side in ("reference", "target")
    }
    images = path.with_suffix(".images.json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, rows)
        write_json(images, paths)
    except OSError as error:
        raise InputError(f"cannot export to {path}: {error}; name a file in a folder you may write") from error
    return [path, images]
