"""The measurement of ``benchmarks/near_duplicates.py``, on fewer pictures."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "near_duplicates.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("near_duplicates_benchmark", BENCHMARK)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("drawing", ["colourways", "people", "small_things"])
def test_different_pictures_are_no_near_duplicates(drawing: str, benchmark: ModuleType, tmp_path: Path) -> None:
    benchmark.write_pictures(tmp_path / "pictures", getattr(benchmark, drawing)())
    assert benchmark.wrong(benchmark.links(tmp_path / "pictures", tmp_path / "store")) == []
    as_published = benchmark.links(tmp_path / "pictures", tmp_path / "store", compare_pictures=False)
    assert len(benchmark.wrong(as_published)) > 10, "the option gives the links of hash and embedding alone"


def test_copies_of_photographs_are_found(benchmark: ModuleType, shared_data: Path, tmp_path: Path) -> None:
    paths = sorted((shared_data / "photos").rglob("*.jpg"))
    paths = random.Random(3).sample(paths, 16)
    benchmark.write_pictures(tmp_path / "pictures", benchmark.with_copies(paths))
    links = benchmark.links(tmp_path / "pictures", tmp_path / "store")
    assert benchmark.wrong(links) == []
    recall = benchmark.recall(links, len(paths))
    assert sum(recall.values()) / len(recall) >= 0.95, recall
