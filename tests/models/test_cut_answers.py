"""An answer of a local model that is cut at the limit of tokens is asked for with more room, then left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from PIL import Image

from spn4cir_core.captions.vlm import Llava
from spn4cir_core.models.local_model import Answers, end_tokens, is_cut
from spn4cir_core.texts.llm import Llm
from tests.captions.conftest import Pictures


@pytest.mark.parametrize(
    ("tokens", "ends", "room", "cut"),
    [
        ([5, 6, 7], {2}, 3, True),
        ([5, 6, 2], {2}, 3, False),
        ([5, 2, 0], {2}, 3, False),
        ([5, 6], {2}, 3, False),
        ([5, 6, 7], set(), 3, False),
        ([1, 5, 6, 7], {2, 3}, 3, True),
    ],
)
def test_an_answer_is_cut_that_fills_the_room_without_an_end(
    tokens: list[int], ends: set[int], room: int, cut: bool
) -> None:
    assert is_cut(tokens, ends, room) is cut


def test_a_cut_caption_is_asked_for_with_more_room(pictures: Pictures) -> None:
    opened = pictures.open()
    short: Any = Llava(max_new_tokens=3, model="builtin:shapes").start(pictures.files)
    captions = short(pictures.images, opened)
    whole = Llava(model="builtin:shapes").start(pictures.files)(pictures.images, opened)
    assert len(captions) == len(whole) == 9
    for caption, right in zip(captions, whole, strict=True):
        assert caption in (None, right), "whole or none, never a part"
    assert short.counts.get("cut", 0) == captions.count(None)


def test_a_caption_that_is_cut_with_more_room_too_is_none_and_counted(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    room: list[int] = []

    def generate(self: Answers, prompts: Sequence[str], shown: Sequence[Image.Image], **more: Any) -> list[str | None]:
        room.append(more.get("max_new_tokens", self.settings.max_new_tokens))
        return [None if number % 2 else "a shoe" for number in range(len(shown))]

    monkeypatch.setattr(Answers, "_generate", generate)
    answer: Any = Llava(model="builtin:shapes", max_new_tokens=10).start(pictures.files)
    assert answer(pictures.images[:4], pictures.open()[:4]) == ["a shoe", "a shoe", "a shoe", None]
    assert room == [10, 80] and answer.counts == {"cut": 1}


def test_the_builtin_model_names_its_end() -> None:
    answers = Answers(Llava(model="builtin:shapes"))
    assert end_tokens(answers.processor, answers.model)


@pytest.mark.parametrize(
    ("decoded", "usable"),
    [
        ("make it red\nmake it", True),
        ("make it", False),
        ("<think>first\nthen", False),
        ("<think>\nhm\n</think>make it red\nor", True),
    ],
)
def test_a_rewriter_s_first_whole_line_counts(decoded: str, usable: bool) -> None:
    settings: Callable[[str], bool] = Llm(model="anywhere").is_usable_when_cut
    assert settings(decoded) is usable
