"""Every annotation file of FashionIQ and CIRR, imported, exported and imported again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.annotations.annotation_files import Parser, Triplet
from spn4cir_core.annotations.import_annotations import Layout, import_annotations
from spn4cir_core.annotations.import_cirr import is_rejected
from spn4cir_core.triplets.export import export_triplets
from spn4cir_core.triplets.triplet import triplet_table
from tests.triplets.test_gates import GOOD

Rows = list[tuple[str, str, tuple[str, ...]]]


def imported(layout: Layout, files: list[Path], folder: Path, tables: list[Path]) -> tuple[list[Triplet], int, Any]:
    """What the annotations stage reads of them when all images are there, rows written, and rows left out."""
    folder.mkdir()
    written, drops = import_annotations(layout, files, folder / "triplets.csv", tables)
    content = (folder / "triplets.csv").read_bytes()
    names = {f"{name}.png" for path in files for row in json.loads(path.read_bytes()) for name in _names(row)}
    for table in tables:
        names |= {path.removeprefix("./") for path in json.loads(table.read_bytes()).values()}
    return Parser("shop", "", {name: name for name in names}, {}).triplets(content), written, dict(drops)


def _names(row: dict[str, Any]) -> set[str]:
    return {row[key] for key in ("candidate", "target", "reference", "target_hard") if key in row}


def exported(triplets: list[Triplet], layout: Layout, hand_written: Any, folder: Path) -> list[Path]:
    rows = [
        GOOD._replace(
            triplet_id=f"annotated/{number}",
            origin="annotated",
            reference_id=row.reference_id,
            target_id=row.target_id,
            reference_path=row.reference_id,
            target_path=row.target_id,
            modified_texts=tuple(row.modified_texts),
        )
        for number, row in enumerate(triplets)
    ]
    artifact = hand_written("triplets", triplets=triplet_table(rows))
    assert layout in ("fashioniq", "cirr")
    return export_triplets(artifact, layout, folder, origins="all")  # type: ignore[arg-type]


def content_of(triplets: list[Triplet]) -> Rows:
    return sorted((row.reference_id, row.target_id, tuple(row.modified_texts)) for row in triplets)


FILES: list[tuple[Layout, str, int]] = [
    *(
        ("fashioniq", f"cap.{name}.train.json", rows)
        for name, rows in (("dress", 5985), ("shirt", 5988), ("toptee", 6027))
    ),
    *(
        ("fashioniq", f"cap.{name}.val.json", rows)
        for name, rows in (("dress", 2017), ("shirt", 2038), ("toptee", 1961))
    ),
    ("cirr", "cap.rc2.val.json", 4181),
]


@pytest.mark.data
@pytest.mark.parametrize(("layout", "name", "rows"), FILES)
def test_nothing_is_lost(
    layout: Layout, name: str, rows: int, shared_data: Path, hand_written: Any, tmp_path: Path
) -> None:
    folder = shared_data / "annotations" / layout
    file = folder / "captions" / name
    tables = [folder / "image_splits" / "split.rc2.val.json"] if layout == "cirr" else []
    first, written, dropped = imported(layout, [file], tmp_path / "first", tables)
    assert (written, dropped) == (rows, {})
    path, images = exported(first, layout, hand_written, tmp_path / "out")
    again, *_ = imported(layout, [path], tmp_path / "again", [images])
    assert content_of(again) == content_of(first)
    original = [row for row in json.loads(file.read_bytes()) if layout != "cirr" or not is_rejected(row)]
    if layout == "cirr":
        wanted = Counter((row["reference"], row["target_hard"], row["caption"].strip()) for row in original)
        names = {path: name for name, path in json.loads(tables[0].read_bytes()).items()}
        pairs = Counter(
            (names[f"./{row.reference_id}"], names[f"./{row.target_id}"], row.modified_text) for row in again
        )
    else:
        wanted = Counter((row["candidate"], row["target"], *_captions(row["captions"])) for row in original)
        rows_out = json.loads(path.read_bytes())
        pairs = Counter((row["candidate"], row["target"], *_captions(row["captions"])) for row in rows_out)
    assert pairs.keys() == wanted.keys()
    assert wanted.total() - pairs.total() == len(original) - len(first)  # rows that stand twice in the file


def _captions(captions: list[str]) -> list[str]:
    return [text for text in (caption.strip(".?, ") for caption in captions) if text]


@pytest.mark.data
def test_hidden_targets_are_counted(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "annotations"
    hidden: list[tuple[Layout, str, str, int]] = [
        ("fashioniq", "cap.dress.test.json", "cap.dress.train.json", 2024),
        ("fashioniq", "cap.shirt.test.json", "cap.shirt.train.json", 2038),
        ("fashioniq", "cap.toptee.test.json", "cap.toptee.train.json", 2056),
        ("cirr", "cap.rc2.test1.json", "cap.rc2.val.json", 4148),
    ]
    for layout, name, other, rows in hidden:
        files = [folder / layout / "captions" / each for each in (name, other)]
        _, drops = import_annotations(layout, files, tmp_path / "triplets.csv")
        assert drops == {"no target": rows}
