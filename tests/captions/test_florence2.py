"""Florence-2 captions by its tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spn4cir_core.captions.florence2 import Florence2
from spn4cir_core.captions.vlm import Vlm
from spn4cir_core.errors import InputError
from spn4cir_core.models import local_model
from tests.captions.conftest import Pictures

TASKS: list[Any] = ["<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>"]


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_answers_as_transformers_does_for_each_picture(
    task: Any, small_model: Callable[[str], Path], pictures: Pictures
) -> None:
    from transformers import AutoProcessor, Florence2ForConditionalGeneration

    folder = str(small_model("florence2"))
    images, opened = pictures.images[:4], pictures.open()[:4]
    captions = Florence2(model=folder, request=task, max_new_tokens=8).start(pictures.files)(images, opened)
    processor, model = AutoProcessor.from_pretrained(folder), Florence2ForConditionalGeneration.from_pretrained(folder)
    for caption, picture in zip(captions, opened, strict=True):
        inputs = processor(text=task, images=picture, return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=8, num_beams=1, do_sample=False, forced_eos_token_id=None)
        expected = processor.batch_decode(tokens, skip_special_tokens=True)[0]
        assert caption == " ".join(expected.split()).removesuffix(".").rstrip()


def test_an_answer_that_fills_the_room_is_cut_although_it_begins_with_the_end_token(
    small_models: Callable[[str], Path], pictures: Pictures
) -> None:
    answer: Any = Florence2(model=str(small_models("florence2")), max_new_tokens=2).start(pictures.files)
    captions = answer(pictures.images[:2], pictures.open()[:2])
    assert answer.counts.get("cut", 0) == captions.count(None)
    ends = local_model.end_tokens(answer._answers.processor, answer._answers.model)
    assert Florence2(model="x").answer_start(None, 5) == 1
    assert local_model.is_cut([7, 8], ends, 2)


def test_other_tasks_and_other_architectures_are_refused(
    small_model: Callable[[str], Path], pictures: Pictures
) -> None:
    with pytest.raises(ValidationError, match="DETAILED_CAPTION"):
        Florence2(model="x", request="<OD>")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"is not a Florence-2 but a 'qwen3_vl' model; .* are vlm, blip"):
        Florence2(model=str(small_model("qwen3-vl"))).start(pictures.files)
    with pytest.raises(InputError, match="use the captioner kind 'florence2'"):
        Vlm(model=str(small_model("florence2"))).start(pictures.files)
