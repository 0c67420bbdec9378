"""Captions by Florence-2, which takes tasks for prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from typing_extensions import override

from spn4cir_core.captions.base import ToCaption
from spn4cir_core.captions.transformers_captioner import TransformersCaptioner
from spn4cir_core.errors import InputError


class Florence2(TransformersCaptioner):
    """Florence-2 in transformers' own layout, e.g. ``florence-community/Florence-2-base``."""

    plugin_kind: ClassVar[str] = "florence2"
    request: Literal["<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>"] = "<CAPTION>"
    """One of the tasks that caption, in the form that Florence-2 takes them."""

    @override
    def check_type(self, model_type: str) -> None:
        if model_type != "florence2":
            raise InputError(
                f"{self.model} is not a Florence-2 but a {model_type!r} model; "
                "the captioner kinds of other architectures are vlm, blip and blip2"
            )

    @override
    def prepare(self, processor: Any, model: Any) -> None:
        pass

    @override
    def prompt(self, image: ToCaption) -> str:
        """The task, the same for every picture."""
        return self.request

    @override
    def groups(self, prompts: Sequence[str]) -> list[list[int]]:
        return [list(range(len(prompts)))]

    @override
    def text(self, processor: Any, prompt: str) -> str:
        return prompt

    @override
    def answer_start(self, model: Any, prompt_tokens: int) -> int:
        return 1  # the decoder's answer begins with its start token, which is also the end token
