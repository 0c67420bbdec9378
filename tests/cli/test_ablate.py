from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from spn4cir_core.ablation.grid import cells, load_grid
from spn4cir_core.cli.app import app
from spn4cir_core.errors import Spn4cirError
from spn4cir_core.store.artifacts import Store
from tests.pipelines import TINY, toml_of

AXES: dict[str, Any] = {
    "positives": {"near": {"pairs": {"window": [1, 8]}}, "far": {"pairs": {"window": [4, 10]}}},
    "negatives": {
        "bank": {"stage2_checkpoint": {"steps": 4}},
        "mixed": {"stage2_checkpoint": {"objective": {"kind": "bank", "in_batch_weight": 0.5}}},
    },
}


def ablate(folder: Path, name: str, axes: dict[str, Any], *words: str) -> Result:
    grid = folder / f"{name}.toml"
    grid.write_text(toml_of({"base": "demo", "seeds": [0], "recipe": TINY, "axes": axes}), encoding="utf-8")
    return CliRunner().invoke(app, ["ablate", str(grid), "--store", str(folder / "store"), *words])


def made(folder: Path, noun: str) -> dict[str, int]:
    """Fingerprint → when the artefact was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in (folder / "store" / noun).glob("*/summary.json")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation")
    done = ablate(folder, "grid", AXES)
    assert done.exit_code == 0, done.output
    return folder


def test_what_cells_share_is_made_once(folder: Path) -> None:
    counts = {"images": 1, "captions": 1, "pairs": 2, "stage1_checkpoint": 2, "candidate_bank": 2}
    assert {noun: len(made(folder, noun)) for noun in counts} == counts
    assert len(made(folder, "stage2_checkpoint")) == len(made(folder, "eval_report")) == 4


def test_the_table_holds_the_recalls_of_the_reports(folder: Path) -> None:
    table = json.loads((folder / "store/ablations/grid/ablation.json").read_text(encoding="utf-8"))
    assert [tuple(cell["levels"].values()) for cell in table["cells"]] == [
        ("near", "bank"), ("near", "mixed"), ("far", "bank"), ("far", "mixed"),
    ]  # fmt: skip
    for cell in table["cells"]:
        report = Store(folder / "store").current(cell["recipe"], "eval_report")
        assert report is not None
        assert cell["query_set"] == "annotated" and cell["queries"] == report.details["queries"]["annotated"]
        for measure, model in {"stage 1": "stage1", "control": "control", "stage 2": "stage2"}.items():
            recall = report.details["recall"][f"annotated {model} recall@1"]
            assert cell["recall"][measure][0] == pytest.approx(100 * recall)
    assert {path.name for path in (folder / "store/ablations/grid").iterdir()} == {
        "ablation.md", "ablation.csv", "ablation.json", "ablation.svg",
    }  # fmt: skip


def test_a_second_run_makes_nothing_and_says_the_same(folder: Path) -> None:
    nouns = ("images", "triplets", "stage1_checkpoint", "stage2_checkpoint", "eval_report")
    before, table = [made(folder, noun) for noun in nouns], folder / "store/ablations/grid/ablation.md"
    said = table.read_text(encoding="utf-8")
    done = ablate(folder, "grid", AXES)
    assert done.exit_code == 0 and said in done.output
    assert [made(folder, noun) for noun in nouns] == before and table.read_text(encoding="utf-8") == said


def test_processes_side_by_side_add_what_is_missing_and_a_cell_that_fails_spares_the_others(folder: Path) -> None:
    before = made(folder, "stage2_checkpoint")
    negatives = {
        "bank": AXES["negatives"]["bank"],
        "short": {"stage2_checkpoint": {"steps": 2}},
        "unsteady": {"stage2_checkpoint": {"steps": 3, "temperature": 1e-30}},
        "lost": {"stage1_checkpoint": {"start_from": str(folder / "no_checkpoint")}},
    }
    done = ablate(
        folder, "more", {"positives": {"near": AXES["positives"]["near"]}, "negatives": negatives}, "--jobs=2"
    )
    assert done.exit_code == 1 and isinstance(done.exception, Spn4cirError)
    assert "2 of 4 cells failed" in str(done.exception) and "unsteady" in done.output
    table = json.loads((folder / "store/ablations/more/ablation.json").read_text(encoding="utf-8"))
    assert [bool(cell["error"]) for cell in table["cells"]] == [False, False, True, True]
    after = made(folder, "stage2_checkpoint")
    assert len(after) == len(before) + 1 and before.items() <= after.items()


def test_help_shows_a_grid_that_can_be_run(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["ablate", "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert shown.exit_code == 0
    lines = [line.strip() for line in shown.output.splitlines()]
    grid = tmp_path / "grid.toml"
    grid.write_text("\n".join(line for line in lines if " = " in line), encoding="utf-8")
    assert len(cells(load_grid(grid))) == 12
