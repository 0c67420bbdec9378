"""Captions by a model of transformers that runs in this process, batch by batch."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence

from PIL import Image
from pydantic import Field
from typing_extensions import override

from spn4cir_core.captions.base import REFUSED, Captioner, ToCaption
from spn4cir_core.captions.prompts import request
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.local_model import Answers, LocalModel, RefusedPictures
from spn4cir_core.models.model_source import find_model
from spn4cir_core.store.fingerprints import fingerprint, plain

log = logging.getLogger(__name__)


class TransformersCaptioner(LocalModel, Captioner):
    """Captions by a model of transformers: the settings and the batching that all families share."""

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
    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str | None]]:
        """Load processor and model.

        Raises:
            InputError: the model cannot be loaded, or one picture alone does not fit into memory.
            MissingExtra: quantised weights are asked for, and bitsandbytes is not installed.
        """
        return _Captions(self)

    @abstractmethod
    def groups(self, prompts: Sequence[str]) -> list[list[int]]:
        """Indices of the prompts that can be answered side by side."""


class _Captions:
    """Captions batches; None for a picture that the model's processor refuses, and for an answer that is cut."""

    def __init__(self, settings: TransformersCaptioner) -> None:
        self._settings, self._answers = settings, Answers(settings)
        self._answered = False
        self._refused = 0

    @property
    def counts(self) -> dict[str, int]:
        """Pictures that the model's processor refused, and answers that were cut."""
        refused = {REFUSED: self._refused} if self._refused else {}
        return {**refused, **self._answers.counts}

    def __call__(self, images: Sequence[ToCaption], pictures: Sequence[Image.Image]) -> list[str | None]:
        captions: list[str | None] = [None] * len(images)
        prompts = [self._settings.prompt(image) for image in images]
        for group in self._settings.groups(prompts):
            for index, text in zip(group, self._group(group, images, prompts, pictures), strict=True):
                captions[index] = text
        return captions

    def _group(
        self,
        group: Sequence[int],
        images: Sequence[ToCaption],
        prompts: Sequence[str],
        pictures: Sequence[Image.Image],
    ) -> list[str | None]:
        try:
            answers = self._answers([prompts[index] for index in group], [pictures[index] for index in group])
        except RefusedPictures as error:
            return self._one_by_one(group, images, prompts, pictures, error)
        self._answered = True
        return [
            self._answers([prompts[index]], [pictures[index]], min_new_tokens=3)[0] if text == "" else text
            for index, text in zip(group, answers, strict=True)
        ]

    def _one_by_one(
        self,
        group: Sequence[int],
        images: Sequence[ToCaption],
        prompts: Sequence[str],
        pictures: Sequence[Image.Image],
        error: RefusedPictures,
    ) -> list[str | None]:
        if len(group) == 1:
            log.warning("%s: the model's processor refuses this picture: %s", images[group[0]].image_id, error)
            self._refused += 1
            return [None]
        texts = [self._group([index], images, prompts, pictures)[0] for index in group]
        if not self._answered:
            raise InputError(f"the processor of {self._settings.model} refuses every picture: {error}") from error
        return texts
