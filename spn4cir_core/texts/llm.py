"""Modified texts by a local language model, which reads the two captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from typing_extensions import override

from spn4cir_core.errors import InputError
from spn4cir_core.texts.local_rewriter import LocalRewriter


class Llm(LocalRewriter):
    """Any causal language model of transformers; its chat template is used where it has one."""

    plugin_kind: ClassVar[str] = "llm"

    def check_type(self, model_type: str) -> None:
        """Text models only; the class that loads them tells. See :class:`LocalModel`."""
        if model_type.startswith(("llava", "blip")):
            raise InputError(f"{self.model} is a {model_type} model, which sees pictures; use the rewriter kind 'vlm'")

    @override
    def autos(self) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        return AutoTokenizer, AutoModelForCausalLM

    def text(self, processor: Any, prompt: str) -> str:
        """The prompt in the checkpoint's chat template, or as it is."""
        if not getattr(processor, "chat_template", None):
            return f"{prompt}\n"
        chat = [{"role": "user", "content": prompt}]
        filled: str = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        return filled

    def inputs(self, processor: Any, texts: Sequence[str], pictures: Sequence[Any]) -> Any:
        """Tokens alone. A chat template has its special tokens already."""
        from transformers import BatchFeature

        plain_text = not getattr(processor, "chat_template", None)
        encoded = processor(list(texts), padding=True, return_tensors="pt", add_special_tokens=plain_text)
        return BatchFeature({name: encoded[name] for name in ("input_ids", "attention_mask")})
