"""Captions by a LLaVA: llava-1.5, llava-next and other image-text-to-text models of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from spn4cir_core.captions.prompts import PUBLISHED, check_request
from spn4cir_core.captions.transformers_captioner import Generating
from spn4cir_core.errors import InputError

WITHOUT_TEMPLATE = "USER: <image>\n{request} ASSISTANT:"
"""LLaVA-1.5's own form, for a checkpoint that carries no chat template."""


class Llava(Generating):
    """Asks a LLaVA for a brief description of each picture."""

    plugin_kind: ClassVar[str] = "llava"
    request: Annotated[str, AfterValidator(check_request)] = PUBLISHED

    def check_type(self, model_type: str) -> None:
        """Any model that chats about pictures. See :class:`Generating`."""
        if kind := {"blip": "blip", "blip-2": "blip2"}.get(model_type):
            raise InputError(f"{self.model} is no LLaVA but a {model_type} model; use the captioner kind {kind!r}")

    def prepare(self, processor: Any, model: Any) -> None:
        """Pad on the left, else pads stand between prompt and answer."""
        processor.tokenizer.padding_side = "left"

    def groups(self, prompts: Sequence[str]) -> list[list[int]]:
        """All prompts at once, padded."""
        return [list(range(len(prompts)))]

    def text(self, processor: Any, prompt: str) -> str:
        """The prompt in the checkpoint's chat template."""
        if not getattr(processor, "chat_template", None):
            return WITHOUT_TEMPLATE.format(request=prompt)
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        chat: str = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        return chat

    def answer_start(self, model: Any, asked_tokens: int) -> int:
        """Behind the question, which the model repeats."""
        return asked_tokens
