"""Modified texts by a local vision language model, which sees both pictures of a pair."""

from __future__ import annotations

from typing import Any, ClassVar

from spn4cir_core.errors import InputError
from spn4cir_core.texts.local_rewriter import LocalRewriter

WITHOUT_TEMPLATE = "USER: <image>\n<image>\n{request} ASSISTANT:"
"""LLaVA-1.5's own form, for a checkpoint that carries no chat template."""


class Vlm(LocalRewriter):
    """A LLaVA or another image-text-to-text model of transformers that takes several pictures in one turn."""

    plugin_kind: ClassVar[str] = "vlm"

    @property
    def sees_images(self) -> bool:
        """Both pictures."""
        return True

    def check_type(self, model_type: str) -> None:
        """Any model that chats about pictures. See :class:`LocalModel`."""
        if model_type in ("blip", "blip-2"):
            raise InputError(f"{self.model} is a {model_type} model, which takes one picture; use a LLaVA")

    def text(self, processor: Any, prompt: str) -> str:
        """Reference, target, and the prompt in the checkpoint's chat template."""
        if not getattr(processor, "chat_template", None):
            return WITHOUT_TEMPLATE.format(request=prompt)
        content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": prompt}]
        chat: str = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        return chat
