"""A few pictures of shapes with their captions beside them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from spn4cir_core.captions.base import ToCaption
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.shape_scenes import caption, draw_scene, random_scene
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.models import local_model
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.artifacts import Store
from tests.captions.chat_server import ChatServer, serving
from tests.captions.small_models import SAVE


@dataclass(frozen=True)
class Pictures:
    files: ImageFiles
    images: list[ToCaption]
    captions: list[str]
    examined: Path
    """The rows kept by a scan of all the pictures."""

    def store(self, root: Path) -> Store:
        """A fresh store; scanning copies of these pictures starts no worker processes there."""
        shutil.copytree(self.examined, root / "rows")
        return Store(root)

    def open(self) -> list[Image.Image]:
        return [self.files.open(image.path) for image in self.images]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    root = tmp_path_factory.mktemp("pictures")
    rng = Random("tests of the captioners")
    scenes = [random_scene(rng) for _ in range(9)]
    images = []
    for number, scene in enumerate(scenes):
        name = f"{number}.png"
        draw_scene(scene, 48).save(root / name)
        images.append(ToCaption(name, name, f"pixels of {number}", "", {"caption": caption(scene)}))
    with (root / "captions.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(
            [("file", "caption"), *((image.path, image.attributes["caption"]) for image in images)]
        )
    store = Store(tmp_path_factory.mktemp("examined"))
    IMAGES.run(load_recipe("demo", {"images": {"reader": {"kind": "folder", "folder": str(root)}}}), store)
    return Pictures(ImageFiles(root), images, [caption(scene) for scene in scenes], store.root / "rows")


@pytest.fixture(scope="session")
def chat_server() -> Iterator[ChatServer]:
    with serving() as server:
        yield server


@pytest.fixture
def small_model(small_models: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Folder of an untrained model, by the name of its kind; no such model ever ends an answer by itself."""
    monkeypatch.setattr(local_model, "end_tokens", lambda processor, model: frozenset())
    return small_models


@pytest.fixture(scope="session")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of an untrained model, by the name of its kind."""
    root = tmp_path_factory.mktemp("small_models")

    def folder(name: str) -> Path:
        if not (root / name).exists():
            SAVE[name](root / name)
        return root / name

    return folder
