from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.captions.blip import Blip, Blip2
from spn4cir_core.captions.transformers_captioner import TransformersCaptioner
from spn4cir_core.captions.vlm import Llava
from spn4cir_core.errors import InputError, RecipeError
from tests.captions.conftest import Pictures
from tests.captions.test_stage import recipe

MODELS = {"blip": Blip, "blip2": Blip2, "blip2-t5": Blip2}
Folder = Callable[[str], Path]


def oracle(name: str, folder: Path, prompt: str, pictures: Pictures) -> list[str]:
    """What the model's own classes say to each picture alone, asked as their model cards show."""
    import torch
    from transformers import (
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipForConditionalGeneration,
        BlipProcessor,
    )

    kinds: Any = (
        (BlipForConditionalGeneration, BlipProcessor)
        if name == "blip"
        else (Blip2ForConditionalGeneration, Blip2Processor)
    )
    model, processor = (kind.from_pretrained(folder) for kind in kinds)
    answers = []
    for picture in pictures.open():
        prompt_inputs = {"text": prompt} if prompt else {}
        inputs = processor(images=picture, return_tensors="pt", **prompt_inputs)
        with torch.inference_mode():
            tokens = model.generate(**inputs, do_sample=False, max_new_tokens=6)
        answers.append(processor.decode(tokens[0], skip_special_tokens=True).strip())
    return answers


@pytest.mark.parametrize("prompt", ["", "a photo of"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_answers_are_those_of_the_model_card_without_the_prompt(
    name: str, prompt: str, pictures: Pictures, small_model: Folder
) -> None:
    captioner = MODELS[name](model=str(small_model(name)), request=prompt, max_new_tokens=6)
    answers = captioner.start(pictures.files)(pictures.images, pictures.open())
    expected = oracle(name, small_model(name), prompt, pictures)
    assert len(set(expected)) > 1, "the model does not see the pictures"
    assert [text.removesuffix(".").strip() for text in answers] == [
        text.removeprefix(prompt).strip().removesuffix(".").strip() for text in expected
    ]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_prompts_of_different_lengths_do_not_disturb_each_other(
    name: str, pictures: Pictures, small_model: Folder
) -> None:
    captioner = MODELS[name](model=str(small_model(name)), request="a photo of the {category}", max_new_tokens=6)
    categories = ["", "dress", "small red dress with a dog", "dress", ""]
    images = [replace(image, category=category) for image, category in zip(pictures.images, categories, strict=False)]
    opened = pictures.open()[: len(images)]
    answer = captioner.start(pictures.files)
    assert answer(images, opened) == [answer([image], [one])[0] for image, one in zip(images, opened, strict=True)]
    assert captioner.prompt(images[1]) == "a photo of the dress"


@pytest.mark.parametrize(
    ("captioner", "name", "message"),
    [
        (Blip, "blip2", "not a blip model but 'blip-2'"),
        (Blip2, "blip", "not a blip-2 model but 'blip'"),
        (Llava, "blip", "use the captioner kind 'blip'"),
        (Llava, "blip2", "use the captioner kind 'blip2'"),
    ],
)
def test_a_model_of_another_kind_is_refused(
    captioner: type[TransformersCaptioner], name: str, message: str, pictures: Pictures, small_model: Folder
) -> None:
    with pytest.raises(InputError, match=message):
        captioner(model=str(small_model(name))).start(pictures.files)  # type: ignore[call-arg]


def test_an_old_blip2_that_would_not_see_the_picture_is_refused(
    tmp_path: Path, pictures: Pictures, small_model: Folder
) -> None:
    folder = shutil.copytree(small_model("blip2"), tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    config.pop("image_token_index")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="image_token_index"):
        Blip2(model=str(folder)).start(pictures.files)


def test_bad_request() -> None:
    with pytest.raises(RecipeError, match="placeholder"):
        recipe({"kind": "shapes"}, {"kind": "blip", "model": "a/b", "request": "a {colour}"})
