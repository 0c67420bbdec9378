"""The asset of captions: real captioners on real photographs, and two processes in place of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_project.definitions import definitions_for
from dagster_project.resources import Pipeline
from spn4cir_core.store.artifacts import Artifact
from tests.captions.chat_server import serving
from tests.pipelines import toml_of

ROOT = Path(__file__).parents[2]
OWN = {"folder", "sample", "state"}
"""Metadata of one run alone, beside its seconds."""


class Assets:
    """Some assets of one recipe, materialised in a store and an instance of their own."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, tables: Mapping[str, Any], **launch: Any) -> None:
        folder.mkdir()
        (folder / "recipe.toml").write_text(toml_of({"base": "demo", "name": "few", **tables}), encoding="utf-8")
        self.instance = instance
        self.pipeline = Pipeline(recipe=str(folder / "recipe.toml"), store=str(folder / "store"), **launch)

    def run(self, *names: str, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
        job = definitions_for(self.pipeline).resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(name) for name in names],
            raise_on_error=raise_on_error,
        )

    def artifact(self, name: str) -> Artifact:
        recipe, store = self.pipeline.load()
        current = store.current(recipe.name, name)
        assert current is not None
        return current


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def logged(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> str:
    return "\n".join(entry.user_message for entry in instance.all_logs(result.run_id))


def metadata(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(name)
    values = {key: value.value for key, value in event.metadata.items() if not key.startswith("seconds_")}
    return {key: value for key, value in values.items() if key not in OWN} | {
        "data version": (event.tags or {})["dagster/data_version"]
    }


def photographs(shared_data: Path, folder: Path, count: int) -> dict[str, Any]:
    """Tables for a folder with a few photographs of each kind there is."""
    paths: Sequence[Path] = sorted((shared_data / "photos").glob("*/images/**/*.jpg"))
    for number, path in enumerate(paths[:: len(paths) // count][:count]):
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / path.parent.name / f"{number}.jpg").write_bytes(path.read_bytes())
    return {"images": {"reader": {"kind": "folder", "folder": str(folder)}}}


@pytest.mark.data
@pytest.mark.parametrize("kind", ["llava", "endpoint"])
def test_captioners_caption_real_photographs_through_the_asset(
    kind: str, tmp_path: Path, shared_data: Path, instance: dg.DagsterInstance
) -> None:
    pictures = photographs(shared_data, tmp_path / "photographs", 6)
    with serving() as server:
        captioner = {
            "llava": {"kind": "llava", "model": "builtin:shapes"},
            "endpoint": {"kind": "endpoint", "base_url": server.url, "model": "llava"},
        }[kind]
        assets = Assets(tmp_path / kind, instance, {**pictures, "captions": {"captioner": captioner}})
        result = assets.run("images", "captions")
        requests = len(server.bodies)
    captions = assets.artifact("captions").table()
    assert result.success and len(captions) == 6 and set(captions["captioner"].to_pylist()) == {kind}
    assert all(text.strip() for text in captions["caption"].to_pylist())
    assert metadata(result, "captions")["rows"] == 6
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert requests == (6 if kind == "endpoint" else 0)


def test_two_processes_through_pipes_make_what_one_makes(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    tables = {
        "images": {"reader": {"kind": "shapes", "scenes": 4, "validation_scenes": 0, "edits": 3, "test_scenes": 1}},
        "captions": {"captioner": {"kind": "llava", "model": "builtin:shapes"}, "batch_rows": 4, "shard_rows": 4},
    }
    one = Assets(tmp_path / "one", instance, tables)
    two = Assets(tmp_path / "two", instance, tables, processes=2)
    alone, together = one.run("images", "captions"), two.run("images", "captions")
    assert one.artifact("captions").summary["files"] == two.artifact("captions").summary["files"]
    assert metadata(alone, "captions") == metadata(together, "captions")
    assert f"captions: writing {two.artifact('captions').fingerprint}" in logged(instance, together)
    again = two.run("captions")
    assert metadata(again, "captions") == metadata(alone, "captions")
    assert "up to date" in str(again.asset_materializations_for_node("captions")[0].metadata["state"])


def test_a_wrong_launch_is_one_clear_error(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    tables = {
        "images": {"reader": {"kind": "shapes", "scenes": 1, "validation_scenes": 0, "edits": 1, "test_scenes": 0}}
    }
    assets = Assets(tmp_path / "wrong", instance, tables, machines=2)
    result = assets.run("images", raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "main_address" in str(failure.step_failure_data.error)
