"""Captions by a model of transformers that runs in this process, batch by batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

from PIL import Image
from pydantic import Field
from typing_extensions import override

from spn4cir_core.captions.base import Captioner, ToCaption
from spn4cir_core.captions.prompts import request
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.local_model import Answers, LocalModel
from spn4cir_core.models.model_source import find_model
from spn4cir_core.store.fingerprints import fingerprint, plain


class TransformersCaptioner(LocalModel, Captioner):
    """Captions by a model of transformers: the settings and the batching that BLIP and LLaVA share."""

    request: str
    words: int = Field(default=10, ge=1, le=200)

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        """Hash of the model and the settings; the request counts per picture, with its prompt."""
        settings = {
            key: value for key, value in plain(self).items() if key not in ("model", "revision", "request", "words")
        }
        return fingerprint({**settings, "weights": find_model(self.model, self.revision).fingerprint})

    @override
    def prompt(self, image: ToCaption) -> str:
        """The request with the picture's category."""
        return request(self.request, image.category, self.words)

    @override
    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str]]:
        """Load processor and model.

        Raises:
            InputError: the model cannot be loaded, or one picture alone does not fit into memory.
            MissingExtra: quantised weights are asked for, and bitsandbytes is not installed.
        """
        answer = Answers(self)

        def caption(images: Sequence[ToCaption], pictures: Sequence[Image.Image]) -> list[str]:
            captions = [""] * len(images)
            prompts = [self.prompt(image) for image in images]
            for group in self.groups(prompts):
                answers = answer([prompts[index] for index in group], [pictures[index] for index in group])
                for index, text in zip(group, answers, strict=True):
                    captions[index] = text or answer([prompts[index]], [pictures[index]], min_new_tokens=3)[0]
            return captions

        return caption

    @abstractmethod
    def groups(self, prompts: Sequence[str]) -> list[list[int]]:
        """Indices of the prompts that can be answered side by side."""
