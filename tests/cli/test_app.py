"""The command line on a tiny pipeline."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from PIL import Image

from spn4cir_core.cli.app import app
from spn4cir_core.cli.command_table import COMMANDS
from spn4cir_core.cli.search import shown_channels
from spn4cir_core.flow import STAGES
from tests.pipelines import tiny_recipe_file


def spn4cir(*words: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "spn4cir_core.cli.app", *words]
    env = {**os.environ, **environment}
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=cwd, env=env)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    done = spn4cir("run", "--recipe", str(tiny_recipe_file(folder)), "--store", str(folder / "store"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "report.html" in done.stdout and "it/s" not in done.stderr, "no bars off a terminal"
    page = folder / "store" / "summaries" / "tiny.html"
    assert f"summary: {page}" in done.stdout and "everything is up to date" in page.read_text(encoding="utf-8")
    return folder


def options(folder: Path) -> list[str]:
    return ["--recipe", str(folder / "tiny.toml"), "--store", str(folder / "store")]


def test_help_shows_examples() -> None:
    shown = spn4cir("--help")
    assert shown.returncode == 0 and "spn4cir run --images photos/" in shown.stdout


def test_modules_are_not_looked_through_when_the_process_ends() -> None:
    script = (
        "import atexit, gc\n"
        "atexit.register(lambda: print('frozen', gc.get_freeze_count() > 10_000, gc.get_threshold() == before))\n"
        "from spn4cir_core.cli.app import main\nbefore = gc.get_threshold()\nmain()"
    )
    line = [sys.executable, "-c", script, "recipes"]
    assert "frozen True True" in subprocess.run(line, capture_output=True, text=True, check=True).stdout


def test_help_names_every_command_as_its_docstring_does_and_loads_none() -> None:
    group: Any = typer.main.get_command(app)
    for name, (_, about) in COMMANDS.items():
        first, *_ = (group.get_command(None, name).help or "").split("\n\n")
        assert " ".join(first.split()) == about
    script = "import sys\nfrom spn4cir_core.cli.app import main\ntry: main()\nfinally: print(*sys.modules)"
    line = [sys.executable, "-c", script, "--help"]
    loaded = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert "dimensions" in loaded and "spn4cir_core.cli.hints" in loaded
    assert not {"pydantic", "pyarrow", "numpy", "spn4cir_core.recipe"} & set(loaded.split())


def test_every_module_s_commands_are_in_the_table() -> None:
    for module in {module for module, _ in COMMANDS.values()}:
        own = typer.Typer()
        import_module(f"spn4cir_core.cli.{module}").register(own)
        own.callback()(lambda: None)
        named: Any = typer.main.get_group(own)
        assert set(named.commands) == {name for name, (home, _) in COMMANDS.items() if home == module}


def test_a_mistyped_command_is_answered_with_the_right_one() -> None:
    shown = spn4cir("serach")
    assert shown.returncode and "search" in shown.stderr


def test_search_prints_hits_and_writes_a_contact_sheet(folder: Path) -> None:
    picture = next((folder / "store" / "corpora").rglob("*.png"))
    sheet = folder / "hits.jpg"
    words = ["search", "--image", str(picture), "--text", "make it blue", "--top", "3", "--sheet", str(sheet)]
    done = spn4cir(*words, *options(folder))
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if ".png" in line]) == 3
    with Image.open(sheet) as opened:
        assert min(opened.size) > 50
    sheet.unlink()
    by_text = spn4cir("search", "--text", "make it blue", "--top", "3", "--sheet", str(sheet), *options(folder))
    assert by_text.returncode == 0 and sheet.is_file(), by_text.stderr
    among = spn4cir("search", "--text", "make it blue", *options(folder), cwd=picture.parent)
    assert f"contact sheet: {folder / 'store' / 'hits.jpg'}" in among.stdout, among.stderr
    assert (folder / "store" / "hits.jpg").is_file() and not (picture.parent / "hits.jpg").exists()
    (folder / "file").touch()
    unwritable = spn4cir("search", "--text", "blue", "--sheet", str(folder / "file" / "hits.jpg"), *options(folder))
    assert unwritable.returncode and "error: cannot write" in unwritable.stderr
    assert "Traceback" not in unwritable.stderr
    refused = spn4cir(*words, "--image", str(picture), "--weight", "1", *options(folder))
    assert refused.returncode and "1 weights for 2 reference images" in refused.stderr


def test_without_a_recipe_the_store_s_last_one_is_used_and_named(folder: Path) -> None:
    done = spn4cir("status", "--store", str(folder / "store"))
    assert done.returncode == 0 and "recipe: tiny" in done.stderr and "would run" not in done.stdout


def test_a_recipe_that_the_environment_names_is_said(folder: Path) -> None:
    recipe, store = str(folder / "tiny.toml"), str(folder / "store")
    ran = spn4cir("run", "--store", store)
    assert ran.returncode == 0 and "recipe: tiny, the last one of" in ran.stderr and "up to date" in ran.stdout
    done = spn4cir("status", "--store", store, SPN4CIR_RECIPE=recipe)
    assert f"recipe: {recipe}, by the environment variable SPN4CIR_RECIPE" in done.stderr
    assert "environment" not in spn4cir("status", "--store", store, "--recipe", recipe, SPN4CIR_RECIPE="demo").stderr


def test_a_selection_without_its_parents_names_all_that_are_missing(folder: Path) -> None:
    recipe = str(folder / "tiny.toml")
    done = spn4cir("run", "--select", "triplets+", "--recipe", recipe, "--store", str(folder / "none"))
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and ", for triplets, " in last and last.startswith("error: ")
    assert "images, templates, annotations, captions, image_embeddings, splits, pairs, modified_texts" in last


def test_a_selection_runs_although_a_stage_outside_it_lacks_its_model(folder: Path) -> None:
    recipe = folder / "reranked.toml"
    recipe.write_text(
        'base = "./tiny.toml"\nrerank = { kind = "cross_encoder", model = "./no_model" }\n', encoding="utf-8"
    )
    words = ["--recipe", str(recipe), "--store", str(folder / "store")]
    done = spn4cir("run", "--select", "images,templates,annotations,captions", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    status = spn4cir("status", *words)
    assert status.returncode == 0 and f"model folder {folder / 'no_model'} does not exist" in status.stdout
    again = spn4cir("run", "--select", "captions", *words)
    assert again.returncode == 0 and again.stdout.startswith("captions ")
    refused = spn4cir("run", "--select", "eval_report", *words)
    assert refused.returncode == 1 and "error: rerank: model folder" in refused.stderr


def test_an_error_names_the_command_with_its_recipe_and_store(folder: Path) -> None:
    done = spn4cir("search", "--text", "red", "--recipe", str(folder / "tiny.toml"), "--store", str(folder / "empty"))
    assert f"spn4cir run --recipe {folder / 'tiny.toml'} --store {folder / 'empty'}" in done.stderr


def test_example_asks_a_held_out_query_and_names_the_report(folder: Path) -> None:
    done = spn4cir("example", *options(folder))
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout and "modified text:" in done.stdout


def test_status_says_what_would_run(folder: Path) -> None:
    done = spn4cir("status", *options(folder))
    assert done.returncode == 0 and "would run" not in done.stdout
    elsewhere = spn4cir("status", "--recipe", str(folder / "tiny.toml"), "--store", str(folder / "elsewhere"))
    assert elsewhere.stdout.count("would run") == elsewhere.stdout.count("> not made yet") == len(STAGES)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "--recipe", "shoe"], "no recipe 'shoe'"),
        (["run", "--images", "/no/such/folder"], "/no/such/folder"),
        (["search", "--text", "red", "--store", "/no/such/store"], "no search index"),
    ],
)
def test_a_known_error_is_one_line_and_status_1(words: list[str], says: str, tmp_path: Path) -> None:
    done = spn4cir(*words, *([] if "--store" in words else ["--store", str(tmp_path)]))
    assert done.returncode == 1
    assert says in done.stderr and "Traceback" not in done.stderr


def test_channels_that_add_nothing_to_a_hit_are_not_listed() -> None:
    parts = {"edited caption in captions": 4.0, "modified text in captions": 0.0, "words taken away": -0.004}
    assert shown_channels(parts) == "edited caption in captions +4.00"
    assert shown_channels({"words taken away": -0.5}) == "words taken away -0.50"


def test_negatives_and_dimensions_are_printed(folder: Path) -> None:
    negatives, dimensions = (spn4cir(command, *options(folder)) for command in ("negatives", "dimensions"))
    assert negatives.returncode == 0, negatives.stderr
    assert "queries of stage 1" in negatives.stdout and "rank 2-5" in negatives.stdout
    assert dimensions.returncode == 0, dimensions.stderr
    assert "numbers place all answers of" in dimensions.stdout


def test_a_soup_is_written_where_it_can_be_started_from(folder: Path) -> None:
    (checkpoint,) = (folder / "store" / "stage1_checkpoint").glob("*/")
    without_queries = spn4cir("soup", "--with", str(checkpoint), "--out", str(folder / "soup"), *options(folder))
    assert without_queries.returncode == 1
    assert "validation images of the recipe give fewer than 30 validation queries" in without_queries.stderr
