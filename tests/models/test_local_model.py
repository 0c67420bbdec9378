from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.captions.blip import Blip2
from spn4cir_core.captions.vlm import Llava
from spn4cir_core.errors import MissingExtra, RecipeError
from spn4cir_core.models import local_model as generation
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


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_builtin_model_reads_scenes_in_16_bits(dtype: Any, pictures: Pictures) -> None:
    import torch

    answers = generation.Answers(captioner := Llava(model="builtin:shapes", dtype=dtype))
    assert {parameter.dtype for parameter in answers.model.parameters()} == {getattr(torch, dtype)}
    assert answers([captioner.prompt(image) for image in pictures.images], pictures.open()) == pictures.captions


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantised_weights_without_bitsandbytes_say_what_to_install(
    bits: Any, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"spn4cir\[quantized\]"):
        Llava(model="builtin:shapes", quantize=bits).start(pictures.files)


def quantised(captioner: Llava, bits: Any, pictures: Pictures) -> list[str]:
    """Answers of a model whose weights take less memory than in 16 bits."""
    if importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed; pip install 'spn4cir[quantized]'")
    made = captioner.model_copy(update={"quantize": bits})
    assert made.fingerprint(pictures.files) != captioner.fingerprint(pictures.files)
    small, plain = (generation.Answers(settings) for settings in (made, captioner))
    assert small.model.get_memory_footprint() < plain.model.get_memory_footprint() / 2
    return small([made.prompt(image) for image in pictures.images], pictures.open())


def test_the_builtin_model_reads_scenes_with_8_bit_weights(pictures: Pictures) -> None:
    answers = quantised(Llava(model="builtin:shapes"), "8bit", pictures)
    exact = sum(answer == caption for answer, caption in zip(answers, pictures.captions, strict=True))
    assert exact >= 6, f"{exact} of 9"


def test_a_llava_next_with_4_bit_weights_still_sees_the_pictures(pictures: Pictures, small_model: Folder) -> None:
    captioner = Llava(model=str(small_model("llava-next")), max_new_tokens=6)
    assert len(set(quantised(captioner, "4bit", pictures))) > 2


def test_loading_leaves_no_bar_on_the_terminal(pictures: Pictures, capfd: pytest.CaptureFixture[str]) -> None:
    Llava(model="builtin:shapes").start(pictures.files)
    out, err = capfd.readouterr()
    assert "Loading weights" not in out + err


def test_a_model_over_all_gpus_and_several_processes_do_not_go_together(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="device_map = 'auto' spreads one model over all GPUs"):
        Llava(model="builtin:shapes", device_map="auto").start(pictures.files)
