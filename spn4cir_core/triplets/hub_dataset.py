"""Triplets with their pictures as a folder that ``datasets.load_dataset`` reads, with its dataset card."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.outputs import whole_folder
from spn4cir_core.triplets.triplet import SCHEMA
from spn4cir_core.triplets.triplet_tables import read_triplets

ROWS_FILE, PICTURES, CARD = "metadata.jsonl", "pictures", "README.md"
SPLITS = {"train": "train", "validation": "validation", "evaluation": "test"}
"""Split of the triplets → what hubs call it, which is also its folder."""
COLUMNS = ("triplet_id", "modified_texts", "reference_caption", "target_caption", "kind", "origin", "weight")


def export_dataset(artifact: Artifact, files: ImageFiles, folder: Path, licence: str = "") -> list[Path]:
    """Write every split's triplets and a copy of each picture that they name, once a split.

    Columns are ``reference`` and ``target`` (pictures), ``modified_text``, which is the first of ``modified_texts``,
    captions, ``kind``, ``origin``, ``weight`` and ``triplet_id``.

    Args:
        artifact: a ``triplets`` artefact.
        folder: it must be new or empty.
        licence: of pictures and texts, as the card shall say it; empty: the card says that it is not stated.

    Returns:
        The card, and the file of rows of each split.

    Raises:
        InputError: there is no triplet, a picture is gone, or the folder cannot be written or holds something.
    """
    rows = read_triplets(artifact, *SCHEMA.names).to_pylist()
    if not rows:
        raise InputError(f"triplets {artifact.fingerprint} have no rows to export")
    written = [CARD, *(f"{name}/{ROWS_FILE}" for split, name in SPLITS.items() if _of_split(rows, split))]
    with whole_folder(folder) as scratch:
        for split, name in SPLITS.items():
            if of_split := _of_split(rows, split):
                _write_split(of_split, files, scratch / name)
        (scratch / CARD).write_text(_card(rows, licence), encoding="utf-8")
    return [folder / name for name in written]


def _of_split(rows: Sequence[Mapping[str, Any]], split: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["split"] == split]


def _write_split(rows: Sequence[Mapping[str, Any]], files: ImageFiles, folder: Path) -> None:
    """Pictures are named by number: a path of the corpus may hold what hubs do not take."""
    folder.mkdir()
    (folder / PICTURES).mkdir()
    names: dict[str, str] = {}
    with (folder / ROWS_FILE).open("w", encoding="utf-8") as stream:
        for row in rows:
            for side in ("reference", "target"):
                path = row[f"{side}_path"]
                if path not in names:
                    names[path] = f"{PICTURES}/{len(names):06d}{PurePosixPath(path).suffix.lower() or '.jpg'}"
                    shutil.copyfile(files.locate(path), folder / names[path])
            pictures = {f"{side}_file_name": names[row[f"{side}_path"]] for side in ("reference", "target")}
            line = pictures | {"modified_text": row["modified_texts"][0]} | {name: row[name] for name in COLUMNS}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def _card(rows: Sequence[Mapping[str, Any]], licence: str) -> str:
    counted = Counter((SPLITS[row["split"]], row["origin"]) for row in rows if row["split"] in SPLITS)
    splits = sorted({split for split, _ in counted})
    configs = [line for split in splits for line in (f"  - split: {split}", f'    path: "{split}/**"')]
    head = ["---", "task_categories:", "- image-to-image", "tags:", "- composed-image-retrieval"]
    head += ["license: other", f"license_name: {json.dumps(licence)}"] if licence else []
    head += ["configs:", "- config_name: default", "  data_files:", *configs, "---"]
    counts = [f"| {split} | {origin} | {count:,} |" for (split, origin), count in sorted(counted.items())]
    return "\n".join(
        [
            *head,
            "",
            "# Triplets for composed image retrieval",
            "",
            "Each row has a reference image, a modified text that says what should be different, and a target image.",
            "Generated triplets were made without annotation: their texts come from the captions of both pictures.",
            "",
            "| split | origin | triplets |",
            "|---|---|---:|",
            *counts,
            "",
            "`weight` is what a triplet counts in training. In the test split no picture is one of the training's.",
            "",
            f"Licence of pictures and texts: {licence or 'not stated; ask whoever made this before you pass it on'}.",
            "",
        ]
    )
