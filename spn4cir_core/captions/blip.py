"""Captions by BLIP and BLIP-2, which continue a few words or, given none, just caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from spn4cir_core.captions.prompts import check_request
from spn4cir_core.captions.transformers_captioner import Generating
from spn4cir_core.errors import InputError


def _check_beginning(template: str) -> str:
    return check_request(template) if template else ""


class Blip(Generating):
    """BLIP's captioning model, e.g. ``Salesforce/blip-image-captioning-large``."""

    plugin_kind: ClassVar[str] = "blip"
    model_type: ClassVar[str] = "blip"
    request: Annotated[str, AfterValidator(_check_beginning)] = ""
    """What the caption continues and does not repeat, e.g. ``a photo of``."""

    def check_type(self, model_type: str) -> None:
        """This one architecture. See :class:`Generating`."""
        if model_type != self.model_type:
            raise InputError(
                f"{self.model} is no {self.model_type} model but {model_type!r}; "
                "the captioner kinds of other architectures are llava, blip and blip2"
            )

    def prepare(self, processor: Any, model: Any) -> None:
        """Nothing to set up."""

    def groups(self, prompts: Sequence[str]) -> list[list[int]]:
        """Equal prompts: neither model is made for padded ones."""
        found: dict[str, list[int]] = {}
        for index, prompt in enumerate(prompts):
            found.setdefault(prompt, []).append(index)
        return list(found.values())

    def text(self, processor: Any, prompt: str) -> str:
        """The prompt as it is."""
        return prompt

    def answer_start(self, model: Any, asked_tokens: int) -> int:
        """Behind the prompt, whose closing token BLIP takes away."""
        return asked_tokens - 1


class Blip2(Blip):
    """BLIP-2, e.g. ``Salesforce/blip2-opt-2.7b``; takes ``Question: … Answer:`` as well."""

    plugin_kind: ClassVar[str] = "blip2"
    model_type: ClassVar[str] = "blip-2"

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

    def answer_start(self, model: Any, asked_tokens: int) -> int:
        """Behind the prompt, where the language model is one that repeats it."""
        return 0 if model.language_model.config.is_encoder_decoder else asked_tokens
