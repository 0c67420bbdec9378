from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from spn4cir_core.images import stage as scan_images
from spn4cir_core.images.examine import Examiners, Finding, examine
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.sandboxed_decoder import CRASHED
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.rows import Rows
from tests.images.fatal_decoders import WORDS, examine_with_fatal_decoders


def dying_examiner(files: ImageFiles, path: str) -> Finding:
    """Ends its process as a crashing decoder would."""
    if path.startswith("fatal"):
        os._exit(139)
    return examine(files, path)


def numbered(root: Path, count: int) -> list[str]:
    for index in range(count):
        Image.new("RGB", (8, 8 + index), (index, 0, 0)).save(root / f"{index:03d}.png")
    return [f"{index:03d}.png" for index in range(count)]


def test_findings_come_in_order_and_equal_those_of_this_process(tmp_path: Path) -> None:
    paths = [*numbered(tmp_path, 40), "missing.png"]
    files = ImageFiles(tmp_path)
    with Examiners(files, workers=2) as examiners:
        assert list(examiners.run(paths)) == [examine(files, path) for path in paths]


def test_a_crashing_decoder_costs_its_file_only(tmp_path: Path) -> None:
    paths = numbered(tmp_path, 20)
    paths[5:5] = ["fatal_1.png"]
    paths += ["fatal_2.png"]
    with Examiners(ImageFiles(tmp_path), 2, dying_examiner) as examiners:
        findings = dict(zip(paths, examiners.run(paths), strict=True))
        assert {path for path, finding in findings.items() if finding.reason == CRASHED} == {
            "fatal_1.png",
            "fatal_2.png",
        }
        assert all(finding.width == 8 for path, finding in findings.items() if not path.startswith("fatal"))
        assert [finding.width for finding in examiners.run(paths[:2])] == [8, 8], "goes on after a crash"


def test_files_that_wait_behind_a_crash_are_examined_by_the_next_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spn4cir_core.images.examine.CHUNK_FILES", 2)
    monkeypatch.setattr("spn4cir_core.images.examine.CHUNKS_AHEAD", 3)
    paths = numbered(tmp_path, 24)
    for number in (21, 9, 8, 0):
        paths.insert(number, f"fatal_{number}.png")
    with Examiners(ImageFiles(tmp_path), 2, dying_examiner) as examiners:
        findings = list(examiners.run(paths))
    assert [finding.reason == CRASHED for finding in findings] == [path.startswith("fatal") for path in paths]
    assert [finding.height for finding in findings if not finding.reason] == [8 + number for number in range(24)]


def test_equal_pixels_in_other_files_have_one_pixel_hash(tmp_path: Path) -> None:
    image = Image.new("RGB", (9, 7), "teal")
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.bmp")
    image.rotate(90, expand=True).save(tmp_path / "turned.png")
    a, b, turned = (examine(ImageFiles(tmp_path), name) for name in ("a.png", "b.bmp", "turned.png"))
    assert a.pixel_sha256 == b.pixel_sha256 and a.sha256 != b.sha256
    assert a.pixel_sha256 != turned.pixel_sha256, "the size is part of the pixels"


def test_decoders_that_abort_hang_or_eat_memory_cost_one_file_each_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    paths = numbered(folder, 8)
    fatal = {f"{word.decode()}.ppm": word + b" " * 40 for word in WORDS}
    for name, data in fatal.items():
        (folder / name).write_bytes(data)
    monkeypatch.setattr(scan_images, "Examiners", partial(Examiners, examiner=examine_with_fatal_decoders))
    images = ImageSettings.model_validate({"reader": {"kind": "folder", "folder": str(folder)}, "min_side_px": 1})
    recipe, store = Recipe.model_construct(name="test", seed=0, images=images), Store(tmp_path / "store")
    manifest, _ = scan_images.IMAGES.run(recipe, store)
    assert manifest.table()["image_id"].to_pylist() == paths
    assert manifest.summary["drops"] == {CRASHED: len(fatal)}
    drops = {row["path"]: row["detail"] for row in manifest.table("drops.parquet").to_pylist()}
    assert drops.keys() == fatal.keys() and "memory" in drops["P6MEMORY.ppm"] and "died" in drops["P6HANG.ppm"]
    (rows,) = store.root.glob("rows/file_findings/*")
    keys = Rows(rows, scan_images.FINDING_TYPE).keys()
    assert len(keys) == len(paths), "what killed a process is looked at again by the next scan"
