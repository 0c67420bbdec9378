"""Captions by any vision-language model of transformers that chats: Qwen-VL, InternVL, SmolVLM, Gemma 3, LLaVA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator
from typing_extensions import override

from spn4cir_core.captions.prompts import PUBLISHED, check_request
from spn4cir_core.captions.transformers_captioner import TransformersCaptioner
from spn4cir_core.errors import InputError

WITHOUT_TEMPLATE = "USER: <image>\n{request} ASSISTANT:"
"""LLaVA-1.5's own form, for a checkpoint that carries no chat template."""
FAMILY = ("llava", "llava_next", "llava_onevision", "vipllava")
"""Architectures, by ``model_type`` of their config.json, whose checkpoints may lack a chat template."""
OTHER_KINDS = {"blip": "blip", "blip-2": "blip2", "florence2": "florence2"}
"""Captioner kind of architectures that have one of their own."""
TAKES = (
    f"kind 'vlm' takes {', '.join(FAMILY)}, and other image-text-to-text models of transformers whose checkpoint has "
    "a chat template. Use llava-hf/llava-1.5-7b-hf, or serve the model and use the captioner kind 'endpoint'"
)


class Vlm(TransformersCaptioner):
    """Prompts an image-text-to-text model with a chat template for a description of each picture."""

    plugin_kind: ClassVar[str] = "vlm"
    request: Annotated[str, AfterValidator(check_request)] = PUBLISHED

    @override
    def check_type(self, model_type: str) -> None:
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN

        if kind := OTHER_KINDS.get(model_type):
            raise InputError(f"{self.model} does not chat: it is a {model_type} model; use the captioner kind {kind!r}")
        if model_type not in KNOWN:
            raise InputError(
                f"{self.model} is a {model_type!r} model, which does not answer questions about pictures; {TAKES}"
            )

    @override
    def prepare(self, processor: Any, model: Any) -> None:
        model_type = model.config.model_type
        if not getattr(processor, "chat_template", None) and model_type not in FAMILY:
            raise InputError(f"{self.model} is a {model_type!r} model without a chat template; {TAKES}")
        processor.tokenizer.padding_side = "left"  # else padding stands between prompt and answer

    @override
    def groups(self, prompts: Sequence[str]) -> list[list[int]]:
        return [list(range(len(prompts)))]

    @override
    def text(self, processor: Any, prompt: str) -> str:
        """The prompt in the checkpoint's chat template, in which a model that may think is asked not to."""
        if not getattr(processor, "chat_template", None):
            return WITHOUT_TEMPLATE.format(request=prompt)
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        quick = {"enable_thinking": False} if "enable_thinking" in str(processor.chat_template) else {}
        turns = [{"role": "user", "content": content}]
        chat: str = processor.apply_chat_template(turns, add_generation_prompt=True, **quick)
        return chat

    @override
    def answer_start(self, model: Any, prompt_tokens: int) -> int:
        return prompt_tokens


class Llava(Vlm):
    """The same under the name it had when only LLaVAs were meant; captions kept under it stay."""

    plugin_kind: ClassVar[str] = "llava"
