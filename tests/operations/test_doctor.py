"""Each part of the examination, on sound and on broken surroundings."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from spn4cir_core.cli.app import app
from spn4cir_core.operations import doctor, requirements
from spn4cir_core.operations.doctor import Symptom
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Store

YAML = Path(__file__).parents[2] / "dagster.yaml"


def by_name(symptoms: Iterable[Symptom]) -> dict[str, Symptom]:
    return {symptom.what: symptom for symptom in symptoms}


def store_with_captions(root: Path) -> Store:
    store = Store(root)
    with store.writing("captions", "abc", {}) as draft:
        draft.write_table(pa.table({"image_id": ["a"], "caption": ["b"]}), "captions.parquet")
    artifact = store.get("captions", "abc")
    assert artifact is not None
    store.point("demo", artifact)
    return store


def test_here_every_requirement_is_fulfilled() -> None:
    symptoms = by_name(doctor.packages())
    assert {"torch", "transformers", "open_clip_torch", "faiss-cpu", "dagster"} <= symptoms.keys()
    assert not [symptom for symptom in symptoms.values() if symptom.state != "ok"]
    assert symptoms["torch"].finding.startswith(metadata.version("torch"))


def test_missing_and_wrong_versions_are_broken_and_the_gpu_build_of_faiss_will_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    versions = {"torch": "2.1.0", "faiss-gpu-cu12": "1.12.0"}
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["torch>=2.6", "faiss-cpu>=1.9", "scipy>=1.14"])
    monkeypatch.setattr(doctor, "installed", versions.get)
    symptoms = by_name(doctor.packages())
    assert [symptoms[name].state for name in ("torch", "faiss-cpu", "scipy")] == ["broken", "ok", "broken"]
    assert symptoms["torch"].finding == "2.1.0, wanted >=2.6" and symptoms["torch"].cure == "pip install 'torch>=2.6'"
    assert symptoms["scipy"].finding == "not installed"


def test_an_extra_says_what_it_brings_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ['uvicorn>=0.30; extra == "serve"', 'fastapi; extra == "serve"', 'timm>=1.0; extra == "offline"']
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["torch>=2.6", *lines])
    monkeypatch.setattr(requirements, "installed", {"torch": "3", "timm": "1.0.1", "fastapi": "1"}.get)
    symptoms = by_name(doctor.extras(load_recipe("demo")))
    assert symptoms["extra offline"].state == "ok"
    assert symptoms["extra serve"].state == "note" and "without uvicorn" in symptoms["extra serve"].finding
    assert symptoms["extra serve"].cure == "pip install 'spn4cir[serve]'"
    assert "not known" in symptoms["extra gpu"].finding


def test_what_the_recipe_cannot_do_without_is_broken_if_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = {"kind": "llava", "model": "owner/name", "quantize": "4bit"}
    here = load_recipe("folder", {"images": {"reader": {"kind": "folder", "folder": str(tmp_path)}}})
    small = load_recipe("demo", {"captions": {"captioner": local}, "modified_texts": {"tokenizer": "bert"}})
    judged = load_recipe("demo", {"triplets": {"ranker": {"kind": "sentences"}}})

    def needed(recipe: Recipe) -> set[tuple[str, str]]:
        return {(extra, where) for one, where in requirements.settings_below(recipe) for extra in one.extras()}

    assert needed(load_recipe("demo")) == set()
    assert {setting for extra, setting in needed(here) if extra == "offline"} == {
        "captions.captioner.fallback",
        "image_embeddings.encoder",
        "stage1_checkpoint.backbone",
    }
    assert needed(small) == {("quantized", "captions.captioner"), ("offline", "modified_texts")}
    assert needed(judged) == {("offline", "triplets.ranker.encoder")}
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ['timm>=1.0; extra == "offline"'])
    monkeypatch.setattr(requirements, "installed", {"torch": "3"}.get)
    broken = by_name(doctor.extras(here))["extra offline"]
    assert broken.state == "broken" and "without timm; folder needs it for captions.captioner" in broken.finding
    assert broken.cure == "pip install 'spn4cir[offline]'"


def test_a_model_folder_that_is_not_there_is_broken(tmp_path: Path) -> None:
    model = str(tmp_path / "none")
    recipe = load_recipe("demo", {"rerank": {"kind": "cross_encoder", "model": model}})
    (broken,) = doctor.models(recipe)
    assert (broken.what, broken.state) == ("rerank", "broken") and model in broken.finding
    assert list(doctor.models(load_recipe("demo"))) == []


def test_the_folder_of_the_pictures_is_looked_for(tmp_path: Path) -> None:
    def states(folder: Path) -> list[str]:
        reader = {"kind": "folder", "folder": str(folder)}
        recipe = load_recipe("folder", {"images": {"reader": reader}})
        return [symptom.state for symptom in doctor.pictures(recipe, store)]

    store = Store(tmp_path / "store")
    assert states(tmp_path) == ["ok"] and states(tmp_path / "none") == ["broken"]
    assert list(doctor.pictures(load_recipe("demo"), store)) == []


def test_a_gpu_without_a_faiss_for_it_is_worth_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss

    monkeypatch.setattr(doctor, "_has_gpu", lambda: True)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0, raising=False)
    assert doctor.faiss_build().state == "note" and "faiss-gpu" in doctor.faiss_build().cure
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    assert doctor.faiss_build().state == "ok" and "1 GPUs" in doctor.faiss_build().finding


def test_a_package_that_cannot_be_loaded_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.faiss_build().state == "ok" and doctor.gpu().state in ("ok", "note")
    for name in ("faiss", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    assert doctor.faiss_build().state == "broken" and "cannot be loaded" in doctor.faiss_build().finding
    assert doctor.gpu().state == "broken"


def test_the_disk_is_looked_at_where_the_store_will_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    symptoms = by_name(doctor.disk(Store(tmp_path / "not" / "yet")))
    assert symptoms["store"].state == "ok" and "not made yet" in symptoms["store"].finding
    assert not list(tmp_path.iterdir()), "looking leaves nothing behind"
    (tmp_path / "file").write_text("")
    below_a_file = by_name(doctor.disk(Store(tmp_path / "file")))["store"]
    assert below_a_file.state == "broken" and "--store" in below_a_file.cure
    for free, state in ((1 << 40, "ok"), (5 << 30, "note"), (1 << 20, "broken")):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path, free=free: Usage(free))
        assert by_name(doctor.disk(Store(tmp_path)))["free disk"].state == state


class Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_a_damaged_artefact_is_found_and_the_sound_ones_are_told(tmp_path: Path) -> None:
    store = store_with_captions(tmp_path)
    assert by_name(doctor.artifacts(store, "demo"))["captions"].state == "ok"
    path = tmp_path / "captions" / "abc" / "captions.parquet"
    path.write_bytes(bytes(len(path.read_bytes())))
    broken = by_name(doctor.artifacts(store, "demo"))["captions"]
    assert broken.state == "broken" and f"Delete {path.parent} and run again" in broken.cure


def test_dagsters_home_and_its_pool_limit(tmp_path: Path) -> None:
    assert [symptom.state for symptom in doctor.dagster_home("")] == ["note"]
    assert [symptom.state for symptom in doctor.dagster_home(str(tmp_path / "none"))] == ["broken"]
    assert [symptom.state for symptom in doctor.dagster_home("relative")] == ["broken"]
    yaml = tmp_path / "dagster.yaml"
    assert by_name(doctor.dagster_home(str(tmp_path)))["pool limit"].state == "note"
    for content, limit in (("concurrency: {pools: {default_limit: 4}}", 4), ("a: [", None), ("concurrency: x", None)):
        yaml.write_text(content)
        assert doctor.pool_limit(yaml) == limit
        assert by_name(doctor.dagster_home(str(tmp_path)))["pool limit"].state == "note"
    yaml.write_text(YAML.read_text())
    assert by_name(doctor.dagster_home(str(tmp_path)))["pool limit"].state == "ok"


def test_the_command_prints_a_table_and_its_status_says_whether_something_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_with_captions(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setattr(doctor, "EMPTY_DISK_BYTES", 0)
    sound = CliRunner().invoke(app, ["doctor", "--store", str(tmp_path)])
    assert sound.exit_code == 0 and "nothing is broken" in sound.stdout, sound.stdout
    assert "captions             ok      abc: 0.0 MiB, all checksums match" in sound.stdout
    (tmp_path / "captions" / "abc" / "captions.parquet").unlink()
    sick = CliRunner().invoke(app, ["doctor", "--store", str(tmp_path)])
    assert sick.exit_code == 1 and "1 broken" in sick.stdout and "captions             broken" in sick.stdout
