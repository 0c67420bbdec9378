"""Triplets in the JSON layouts of FashionIQ and CIRR, as the published code trains on them (spec §6), and as CSV."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from spn4cir_core.annotations.import_fashioniq import captions_of
from spn4cir_core.errors import InputError
from spn4cir_core.store.artifacts import Artifact, whole_file, write_json
from spn4cir_core.triplets.triplet import SCHEMA
from spn4cir_core.triplets.triplet_tables import read_triplets

Layout = Literal["fashioniq", "cirr", "csv"]
CSV_COLUMNS = ("reference", "target", "modified_text", "modified_texts", "kind", "origin", "weight", "triplet_id")


def export_fashioniq(artifact: Artifact, path: Path, split: str = "train") -> list[Path]:
    """Write ``{candidate, target, captions, caption1, caption2}`` per triplet; ``candidate`` is the reference.

    An annotated triplet whose texts are the four joinings of two captions is written as FashionIQ has it: the two
    captions, and nothing else.
    Names are image ids without suffix (with it where two images differ in nothing else).

    Args:
        artifact: a ``triplets`` artefact.
        path: the JSON file to write.
        split: which triplets: ``train``, ``validation`` or ``evaluation``.

    Returns:
        The files written: ``path``, and beside it ``<stem>.images.json``, from name to path below the image root.

    Raises:
        InputError: there is no triplet of that split, or the file cannot be written.
    """
    triplets, names = _triplets(artifact, split)
    return _written([_fashioniq_row(row, names) for row in triplets], triplets, names, path)


def _fashioniq_row(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    images = {"candidate": names[row["reference_id"]], "target": names[row["target_id"]]}
    if row["origin"] == "annotated" and (captions := captions_of(row["modified_texts"])):
        return images | {"captions": captions}
    own = {"caption1": row["reference_caption"], "caption2": row["target_caption"]}
    return images | {"captions": row["modified_texts"], **own}


def export_cirr(artifact: Artifact, path: Path, split: str = "train") -> list[Path]:
    """Write ``{pairid, reference, target_hard, target_soft, caption, img_set, caption1, caption2}`` per triplet.

    ``caption`` is a text for an annotated triplet and a list for a generated one, from which the published code draws.
    Arguments, result and errors are those of :func:`export_fashioniq`; ``<stem>.images.json`` has the layout of
    CIRR's ``image_splits``.
    """
    triplets, names = _triplets(artifact, split)
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


def export_csv(artifact: Artifact, path: Path, split: str = "train") -> list[Path]:
    """Write a ``triplets.csv`` as a corpus folder may hold; images are paths below the image root.

    Arguments, result and errors are those of :func:`export_fashioniq`.
    """
    triplets, _ = _triplets(artifact, split)
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


EXPORTS: Mapping[Layout, tuple[Callable[[Artifact, Path, str], list[Path]], str]] = {
    "fashioniq": (export_fashioniq, "cap.extend_spn4cir.{split}.json"),
    "cirr": (export_cirr, "cap.rc2.{split}.extend_spn4cir.json"),
    "csv": (export_csv, "triplets.{split}.csv"),
}
"""Layout → what writes it, and the name the published code gives such a file."""


def export_triplets(artifact: Artifact, layout: Layout, folder: Path, split: str = "train") -> list[Path]:
    """Write the triplets of one split into a folder, under the name that the layout's own files have.

    Raises:
        InputError: there is no triplet of that split, or the folder cannot be written.
    """
    write, name = EXPORTS[layout]
    return write(artifact, folder / name.format(split=split), split)


def _triplets(artifact: Artifact, split: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    rows = [row for row in read_triplets(artifact, *SCHEMA.names).to_pylist() if row["split"] == split]
    if not rows:
        raise InputError(f"triplets {artifact.fingerprint} have none of split {split!r} to export")
    images = {row[side] for row in rows for side in ("reference_id", "target_id")}
    short = {name: str(PurePosixPath(name).with_suffix("")) for name in images}
    shared = Counter(short.values())
    return rows, {name: short[name] if shared[short[name]] == 1 else name for name in images}


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
