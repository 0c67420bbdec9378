from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.captions import generation
from spn4cir_core.captions.blip import Blip2
from spn4cir_core.captions.llava import Llava
from spn4cir_core.captions.model_source import without_loading_bar
from spn4cir_core.errors import MissingExtra
from tests.captions.conftest import Pictures

Folder = Callable[[str], Path]


def test_llava_next_answers_pictures_of_any_shape_side_by_side_as_alone(
    pictures: Pictures, small_model: Folder
) -> None:
    captioner = Llava(model=str(small_model("llava-next")), max_new_tokens=6)
    shapes = [(32, 32), (90, 30), (30, 90), (64, 64), (200, 40), (33, 31)]
    opened = [picture.resize(shape) for picture, shape in zip(pictures.open(), shapes, strict=False)]
    categories = ["", "dress", "", "small red dress with a dog", "", "shirt"]
    images = [replace(image, category=name) for image, name in zip(pictures.images, categories, strict=False)]
    answer = captioner.start(pictures.files)
    together = answer(images, opened)
    assert len(set(together)) > 2, "the model does not see the pictures"
    assert together == [answer([image], [one])[0] for image, one in zip(images, opened, strict=True)]


@pytest.mark.parametrize("name", ["blip2", "builtin"])
def test_a_spread_model_answers_as_one_on_a_single_device(name: str, pictures: Pictures, small_model: Folder) -> None:
    settings: dict[str, Any] = {"max_new_tokens": 6}
    captioner = Llava(model="builtin:shapes", **settings) if name == "builtin" else Blip2(model=str(small_model(name)))
    spread = captioner.model_copy(update={"device_map": "auto"})
    assert spread.fingerprint(pictures.files) == captioner.fingerprint(pictures.files)
    images, opened = pictures.images[:4], pictures.open()[:4]
    answers = [made.start(pictures.files)(images, opened) for made in (captioner, spread)]
    assert answers[0] == answers[1] and len(set(answers[0])) > 1


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantised_weights_without_bitsandbytes_say_what_to_install(
    bits: Any, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"spn4cir\[quantized\]"):
        Llava(model="builtin:shapes", quantize=bits).start(pictures.files)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantised_weights_take_less_memory_and_still_read_scenes(bits: Any, pictures: Pictures) -> None:
    if importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed; pip install 'spn4cir[quantized]'")
    captioner = Llava(model="builtin:shapes", quantize=bits)
    assert captioner.fingerprint(pictures.files) != Llava(model="builtin:shapes").fingerprint(pictures.files)
    quantised, plain = (generation.Answers(made) for made in (captioner, Llava(model="builtin:shapes")))
    assert quantised.model.get_memory_footprint() < plain.model.get_memory_footprint() / 2
    prompts = [captioner.prompt(image) for image in pictures.images]
    answers = quantised(prompts, pictures.open())
    exact = sum(answer == caption for answer, caption in zip(answers, pictures.captions, strict=True))
    assert exact >= 6, f"{exact} of 9"


def test_loading_leaves_no_bar_on_the_terminal(pictures: Pictures, capfd: pytest.CaptureFixture[str]) -> None:
    Llava(model="builtin:shapes").start(pictures.files)
    out, err = capfd.readouterr()
    assert "Loading weights" not in out + err


def test_the_bars_are_as_they_were_afterwards() -> None:
    from huggingface_hub import utils
    from transformers.utils import logging

    hub: Any = utils
    bars: Any = logging

    def state() -> tuple[bool, bool]:
        return bars.is_progress_bar_enabled(), hub.are_progress_bars_disabled()

    before = state()
    try:
        for weights in (True, False):
            for downloads in (True, False):
                (bars.enable_progress_bar if weights else bars.disable_progress_bar)()
                (hub.enable_progress_bars if downloads else hub.disable_progress_bars)()
                with pytest.raises(OSError), without_loading_bar():
                    assert state() == (False, not downloads)
                    raise OSError
                assert state() == (weights, not downloads)
    finally:
        (bars.enable_progress_bar if before[0] else bars.disable_progress_bar)()
        (hub.disable_progress_bars if before[1] else hub.enable_progress_bars)()
