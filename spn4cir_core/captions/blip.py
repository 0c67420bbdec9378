"""Captions by BLIP and BLIP-2, which continue a few words or, given none, just caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator
from typing_extensions import override

from spn4cir_core.captions.prompts import check_request
from spn4cir_core.captions.transformers_captioner import TransformersCaptioner
from spn4cir_core.errors import InputError


def _check_beginning(template: str) -> str:
    return check_request(template) if template else ""


class Blip(TransformersCaptioner):
    """BLIP's captioning model, e.g. ``Salesforce/blip-image-captioning-large``."""

    plugin_kind: ClassVar[str] = "blip"
    model_type: ClassVar[str] = "blip"
    request: Annotated[str, AfterValidator(_check_beginning)] = ""
    """What the caption continues and does not repeat, e.g. ``a photo of``."""

    @override
    def check_type(self, model_type: str) -> None:
        if model_type != self.model_type:
            raise InputError(
                f"{self.model} is not a {self.model_type} model but {model_type!r}; "
                "the captioner kinds of other architectures are vlm, florence2, blip and blip2"
            )

    @override
    def prepare(self, processor: Any, model: Any) -> None:
        pass

    @override
    def groups(self, prompts: Sequence[str]) -> list[list[int]]:
        """Indices of equal prompts: neither model is made for padded ones."""
        indices: dict[str, list[int]] = {}
        for index, prompt in enumerate(prompts):
            indices.setdefault(prompt, []).append(index)
        return list(indices.values())

    @override
    def text(self, processor: Any, prompt: str) -> str:
        return prompt

    @override
    def answer_start(self, model: Any, prompt_tokens: int) -> int:
        return prompt_tokens - 1  # BLIP takes the prompt's closing token away


class Blip2(Blip):
    """BLIP-2, e.g. ``Salesforce/blip2-opt-2.7b``; takes ``Question: … Answer:`` as well."""

    plugin_kind: ClassVar[str] = "blip2"
    model_type: ClassVar[str] = "blip-2"

    @override
    def prepare(self, processor: Any, model: Any) -> None:
        """Let the processor leave room for the image; without it the model would not see the picture.

        Raises:
            InputError: the checkpoint, an old one, names no image token.
        """
        if model.config.image_token_index is None:
            raise InputError(
                f"the BLIP-2 model {self.model} has no image_token_index in its config.json, as those saved "
                "by an old transformers have not. Use its newest revision"
            )
        processor.num_query_tokens = model.config.num_query_tokens

    @override
    def answer_start(self, model: Any, prompt_tokens: int) -> int:
        return 0 if model.language_model.config.is_encoder_decoder else prompt_tokens
