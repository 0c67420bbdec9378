"""Jobs that other processes load by name: the recipe and store of the environment, under its executor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from PIL import Image

from dagster_project.definitions import definitions_for
from dagster_project.resources import pipeline_from_environment
from tests.pipelines import tiny_recipe_file

ROOT = Path(__file__).parents[2]
FEATURES = ("images", "captions", "image_embeddings")
COLOURS = ("black", "white", "red", "green", "blue", "yellow", "purple", "orange")


def features() -> dg.JobDefinition:
    """The images and what two models make of them, without checks: three steps, two of them for the GPU."""
    defs = definitions_for(pipeline_from_environment())
    job = dg.define_asset_job("features", dg.AssetSelection.assets(*FEATURES).without_checks())
    return dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("features")


def everything() -> dg.JobDefinition:
    """The whole flow with its checks."""
    return definitions_for(pipeline_from_environment()).resolve_job_def("everything")


def coloured_corpus(folder: Path) -> Path:
    """A recipe on eight pictures that come with captions, so that the steps cost next to nothing."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    for colour in COLOURS:
        Image.new("RGB", (48, 48), colour).save(pictures / f"{colour}.png")
    lines = [f"{colour}.png,something {colour}" for colour in COLOURS]
    (pictures / "captions.csv").write_text("\n".join(["file,caption", *lines]), encoding="utf-8")
    reader = {"kind": "folder", "folder": str(pictures)}
    captions = {"captioner": {"kind": "sidecar"}}
    return tiny_recipe_file(folder, images={"reader": reader, "workers": 1}, captions=captions)


@contextmanager
def shipped_instance(folder: Path, *more: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on disk with the settings that are shipped, those of ``dagster.yaml`` first."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = [path.read_text(encoding="utf-8") for path in (ROOT / "dagster.yaml", *more)]
    (folder / "dagster.yaml").write_text("".join(settings), encoding="utf-8")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


def said(result: dg.ExecuteJobResult | dg.ExecuteInProcessResult) -> Sequence[str]:
    """The messages of a run's events."""
    return [event.message or "" for event in result.all_events]
