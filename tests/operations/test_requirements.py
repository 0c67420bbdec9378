"""What a recipe lacks on this machine is said at once, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spn4cir_core.cli.app import app
from spn4cir_core.errors import InputError
from spn4cir_core.flow import STAGES
from spn4cir_core.images.base import FoundFile, Reader
from spn4cir_core.operations import doctor, requirements
from spn4cir_core.operations.requirements import check_requirements, missing_requirements
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Store


def lacking(folder: Path) -> Recipe:
    return load_recipe(
        "demo",
        {
            "captions": {"captioner": {"kind": "vlm", "model": str(folder / "captioner")}},
            "rerank": {"kind": "cross_encoder", "model": str(folder / "reranker")},
            "stage1_checkpoint": {
                "backbone": {"kind": "lora", "encoder": {"kind": "sentence_transformers", "model": "owner/name"}},
                "start_from": str(folder / "start"),
            },
        },
    )


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    installed = requirements.installed
    monkeypatch.setattr(requirements, "installed", lambda name: None if name in packages else installed(name))


def test_every_missing_package_folder_and_file_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "peft", "sentence-transformers")
    sentences = missing_requirements(lacking(tmp_path))
    assert [sentence.partition(":")[0] for sentence in sentences] == [
        "captions.captioner",
        "stage1_checkpoint",
        "stage1_checkpoint.backbone, stage1_checkpoint.backbone.encoder, rerank",
        "stage1_checkpoint.backbone",
        "rerank",
    ]
    assert f"model folder {tmp_path / 'captioner'} does not exist" in sentences[0]
    assert f"no checkpoint file or folder at {tmp_path / 'start'}" in sentences[1]
    assert "pip install 'spn4cir[sentence]'" in sentences[2] and "pip install 'spn4cir[lora]'" in sentences[3]
    assert str(tmp_path / "reranker") in sentences[4]


def test_pictures_and_texts_are_named_beside_the_models(tmp_path: Path) -> None:
    lacks = load_recipe(
        "demo",
        {
            "images": {"reader": {"kind": "folder", "folder": str(tmp_path / "photos")}},
            "templates": {"bank": str(tmp_path / "bank.toml")},
            "image_embeddings": {"encoder": {"kind": "vision_tower", "model": str(tmp_path / "tower")}},
            "modified_texts": {"rewriter": {"kind": "llm", "model": str(tmp_path / "llm"), "prompt": "./prompt.txt"}},
            "triplets": {"verdicts": str(tmp_path / "verdicts.csv")},
            "stage1_checkpoint": {"start_from": str(tmp_path / "start")},
        },
    )
    with pytest.raises(InputError) as error:
        check_requirements(lacks, Store(tmp_path / "store"), STAGES)
    lines = str(error.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "images.reader",
        "templates",
        "image_embeddings.encoder",
        "modified_texts.rewriter",
        "modified_texts.rewriter",
        "triplets",
        "stage1_checkpoint",
    ]
    names = ("photos", "bank.toml", "tower", "llm", "prompt.txt", "verdicts.csv", "start")
    assert all(name in line for name, line in zip(names, lines, strict=True))
    timm = load_recipe("demo", {"image_embeddings": {"encoder": {"kind": "timm", "weights": "./none.safetensors"}}})
    assert ["none.safetensors" in line for line in missing_requirements(timm)] == [True]


def test_a_folder_without_a_model_is_named_and_a_hub_id_is_not_looked_up(tmp_path: Path) -> None:
    def sentences(model: str) -> list[str]:
        return missing_requirements(load_recipe("demo", {"captions": {"captioner": {"kind": "vlm", "model": model}}}))

    assert "has no config.json" in sentences(str(tmp_path))[0]
    assert sentences("owner/name") == []
    assert missing_requirements(load_recipe("demo")) == []


def test_only_stages_that_would_run_need_anything(tmp_path: Path) -> None:
    recipe, store = lacking(tmp_path), Store(tmp_path / "store")
    check_requirements(recipe, store, ["images", "templates"])
    with pytest.raises(InputError) as error:
        check_requirements(recipe, store, ["captions", "eval_report"])
    assert [line.partition(":")[0] for line in str(error.value).splitlines()] == ["captions.captioner", "rerank"]


def test_what_is_there_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, store = lacking(tmp_path), Store(tmp_path / "store")
    monkeypatch.setattr(requirements, "outdated", lambda recipe, store: {"eval_report": None})
    with pytest.raises(InputError, match=r"^rerank: "):
        check_requirements(recipe, store, ["captions", "eval_report"])
    check_requirements(recipe, store, ["captions"])


def test_the_command_ends_before_its_first_stage(tmp_path: Path) -> None:
    recipe = tmp_path / "shoes.toml"
    recipe.write_text('base = "demo"\nrerank = { kind = "cross_encoder", model = "./none" }\n', encoding="utf-8")
    words = ["--recipe", str(recipe), "--store", str(tmp_path / "store")]
    result = CliRunner().invoke(app, ["run", *words])
    assert result.exit_code == 1 and not (tmp_path / "store" / "images").exists()
    assert str(result.exception).startswith(f"rerank: model folder {tmp_path / 'none'} does not exist")
    estimated = CliRunner().invoke(app, ["estimate", "--for", "1000", *words])
    assert "rerank: model folder" in estimated.output


class InTheStore(Reader):
    """A reader of somebody's own, whose folder lies below the store and is no path by itself."""

    folder: str = "pictures"

    def root(self, store_root: Path) -> Path:
        return next(path for path in store_root.iterdir() if path.name == self.folder)

    def files(self, store_root: Path) -> Iterator[FoundFile]:
        yield from ()


def test_a_reader_of_ones_own_is_not_asked_for_its_root_before_there_is_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = load_recipe("demo", {"images": {"reader": {"kind": f"{__name__}:InTheStore"}}})
    assert missing_requirements(own, {"images"}) == []
    assert list(doctor.pictures(own, Store(tmp_path / "store"))) == []


def test_the_folder_of_pictures_as_the_store_is_refused(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "link").symlink_to(photos)
    reads = load_recipe("folder", {"images": {"reader": {"folder": str(photos)}}})
    together = {"kind": "together", "folder": str(tmp_path), "readers": [{"kind": "folder", "folder": str(photos)}]}
    for recipe in (reads, load_recipe("demo", {"images": {"reader": together}})):
        for same in (photos, tmp_path / "link"):
            with pytest.raises(InputError, match=r"the store is the folder of pictures .* --store"):
                check_requirements(recipe, Store(same), {"images"})
        for other in (tmp_path / "store", photos / "store", photos / "deep" / "store", tmp_path):
            check_requirements(recipe, Store(other), {"images"})
