"""Pairs of pictures of shapes, and small models that rewrite their texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image

from spn4cir_core.images.folder import Folder
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.images.shape_scenes import caption, draw_scene, random_scene
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.texts.base import Shown, ToRewrite
from spn4cir_core.texts.differences import difference
from spn4cir_core.texts.settings import ModifiedTextSettings
from spn4cir_core.texts.stages import MODIFIED_TEXTS
from spn4cir_core.texts.templates import load_bank
from spn4cir_core.texts.wording import worded
from tests.captions.chat_server import ChatServer, Reply, say, serving
from tests.captions.small_models import scatter, words_with_image

SCENES = 6
CHAT = "{% for message in messages %}{{ '<s>' + message['content'] + ' answer :' }}{% endfor %}"


@dataclass(frozen=True)
class Pairs:
    """Every picture paired with the next one."""

    root: Path
    names: list[str]
    captions: list[str]

    def to_rewrite(self) -> list[ToRewrite]:
        pairs_to_rewrite = []
        for one, two in zip(range(SCENES), [*range(1, SCENES), 0], strict=True):
            reference, target = self.captions[one], self.captions[two]
            values = worded(reference, target, difference(reference, target))
            shown = [Shown(self.names[number], f"pixels of {number}") for number in (one, two)]
            pairs_to_rewrite.append(ToRewrite(f"{one}-{two}", *shown, {**values, "text": f"make it {values['added']}"}))
        return pairs_to_rewrite

    def pictures(self, sees_images: bool) -> list[tuple[Image.Image, ...]]:
        opened = [Image.open(self.root / name).convert("RGB") for name in self.names]
        both = list(zip(opened, [*opened[1:], opened[0]], strict=True))
        return [tuple(pair) if sees_images else () for pair in both]

    def stage(self, hand_written: Any, use: str = "difference", seed: int = 0, **settings: Any) -> Artifact:
        """The texts of all pairs, by the stage itself."""
        recipe = self.recipe(hand_written, use, seed, **settings)
        return MODIFIED_TEXTS.run(recipe, hand_written.store)[0]

    def recipe(self, hand_written: Any, use: str = "difference", seed: int = 0, **settings: Any) -> Recipe:
        """Write the parents, and the recipe that the stage runs with."""
        templates = [asdict(template) for template in load_bank().choose([use])]
        hand_written("templates", json={"templates": templates})
        rows = [
            {"image_id": name, "path": name, "pixel_sha256": f"pixels of {number}"}
            for number, name in enumerate(self.names)
        ]
        hand_written("images", images=rows)
        hand_written(
            "captions",
            captions=[
                {"image_id": name, "caption": text} for name, text in zip(self.names, self.captions, strict=True)
            ],
        )
        ends = zip(self.names, [*self.names[1:], self.names[0]], strict=True)
        pairs = [
            {"pair_id": f"p{number}", "reference_id": one, "target_id": two} for number, (one, two) in enumerate(ends)
        ]
        hand_written("pairs", pairs=pairs)
        return Recipe.model_construct(
            name="test",
            seed=seed,
            images=ImageSettings(reader=Folder(folder=self.root)),
            modified_texts=ModifiedTextSettings(**settings),
        )


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    root, rng = tmp_path_factory.mktemp("pairs"), Random("tests of the rewriters")
    scenes = [random_scene(rng) for _ in range(SCENES)]
    names = [f"{number}.png" for number in range(SCENES)]
    for name, scene in zip(names, scenes, strict=True):
        draw_scene(scene, 48).save(root / name)
    return Pairs(root, names, [caption(scene) for scene in scenes])


def echo(body: Any) -> Reply:
    """Answer with what the request asks about: the target's caption in it, or how large its pictures are."""
    *pictures, text = body["messages"][0]["content"]
    target = text["text"].partition("picture they want shows: ")[2].partition(".")[0]
    sizes = " ".join(str(len(picture["image_url"]["url"])) for picture in pictures)
    return say(f'Modified text: "make it {target or sizes}."\nI hope that helps!')


@pytest.fixture(scope="session")
def text_server() -> Iterator[ChatServer]:
    with serving(lambda number, body: echo(body)) as server:
        yield server


def save_llm(folder: Path) -> None:
    """An untrained Llama of 32 dimensions with a word-level tokenizer and a chat template."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = words_with_image("<s>", "", {"image_token": "<image>"})
    tokenizer.chat_template = CHAT
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    scatter(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="session")
def small_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small_llm")
    save_llm(folder)
    return folder


@pytest.fixture(scope="session")
def rewriter_table(small_llm: Path, text_server: ChatServer) -> Callable[[str], dict[str, Any]]:
    """Settings of each kind of rewriter that work here."""
    tables: dict[str, dict[str, Any]] = {
        "llm": {"model": str(small_llm), "max_new_tokens": 6},
        "vlm": {"model": "builtin:shapes", "max_new_tokens": 20},
        "endpoint": {"base_url": text_server.url, "model": "m", "first_wait_s": 0.01, "timeout_s": 10},
        "endpoint images": {"base_url": text_server.url, "model": "m", "sees": "images", "first_wait_s": 0.01},
    }
    return lambda name: {"kind": name.split()[0], **tables[name]}
