"""Triplets in the JSON layouts of FashionIQ and CIRR, as the published code trains on them (spec §6)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from spn4cir_core.artifacts import Artifact, write_json
from spn4cir_core.errors import InputError


def export_fashioniq(artifact: Artifact, path: Path, split: str = "train") -> list[Path]:
    """Write ``{candidate, target, captions, caption1, caption2}`` per triplet; ``candidate`` is the reference.

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
    rows = [
        {
            "candidate": names[row["reference_id"]],
            "target": names[row["target_id"]],
            "captions": row["modified_texts"],
            "caption1": row["reference_caption"],
            "caption2": row["target_caption"],
        }
        for row in triplets
    ]
    return _written(rows, triplets, names, path)


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
            "caption": row["modified_texts"] if row["origin"] == "generated" else row["modified_texts"][0],
            "img_set": {"id": number, "members": [names[row["reference_id"]], names[row["target_id"]]]},
            "caption1": row["reference_caption"],
            "caption2": row["target_caption"],
        }
        for number, row in enumerate(triplets)
    ]
    return _written(rows, triplets, names, path)


def _triplets(artifact: Artifact, split: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    rows = [row for row in artifact.table("triplets.parquet").to_pylist() if row["split"] == split]
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
