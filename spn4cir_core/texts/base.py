"""Base class of rewriters."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from PIL import Image
from typing_extensions import override

from spn4cir_core.engine.plugins import Plugin, Room
from spn4cir_core.models.model_source import missing_by
from spn4cir_core.store.fingerprints import OmitFromFingerprint, fingerprint
from spn4cir_core.texts.prompts import load_prompt


@dataclass(frozen=True)
class Shown:
    """A picture of a pair."""

    path: str
    """Relative to the image root, POSIX style."""
    pixel_sha256: str


@dataclass(frozen=True)
class ToRewrite:
    """One pair that is to get a modified text."""

    pair_id: str
    reference: Shown
    target: Shown
    values: Mapping[str, str]
    """Placeholder of a prompt → its words: the captions, their difference, and the templates' ``text``."""


ANSWER_READING = 2
"""Goes up whenever another text is read from the same stored answer."""


class Rewriter(Plugin):
    """Writes one modified text per pair. Settings are fields; :meth:`start` loads what is heavy."""

    prompt: Annotated[str, OmitFromFingerprint()] = ""
    """Name of a packaged prompt, or path of a text file. Empty: ``difference``, or ``difference_images`` for a rewriter
    that sees the pictures. Its words, and not its name, decide what is written anew."""

    @property
    def sees_images(self) -> bool:
        """Whether it is shown both pictures of a pair."""
        return False

    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of all that decides an answer besides prompt and pictures: weights, settings.

        Raises:
            InputError: a model folder is missing.
        """

    @abstractmethod
    def start(
        self,
    ) -> Callable[[Sequence[ToRewrite], Sequence[tuple[Image.Image, ...]]], Sequence[str | None]]:
        """Load the model and return the function that answers a batch of pairs.

        It is given each pair's reference and target, upright and RGB, or empty tuples where :attr:`sees_images` is
        false; it returns what the model says, as it says it, or None where it failed and the stage's next run shall ask
        again. If it has an attribute ``counts``, a mapping of names to numbers, the artefact's details get it.
        """

    @override
    def missing(self) -> Iterable[str]:
        """Why the prompt's file cannot be read or used."""
        return missing_by(self.prompt_text)

    def prompt_text(self) -> str:
        """The prompt, its placeholders not yet filled.

        Raises:
            RecipeError: there is no such prompt, or it cannot be used.
        """
        name = self.prompt or ("difference_images" if self.sees_images else "difference")
        return load_prompt(name, self.sees_images)

    def texts_fingerprint(self) -> str:
        """Hash of the model, its settings and the prompt: equal hashes give equal texts for a pair."""
        return fingerprint({"rewriter": self.fingerprint(), "prompt": self.prompt_text(), "reading": ANSWER_READING})

    def row_key(self, pair: ToRewrite, request: str) -> str:
        """Cache key of an answer, beside :meth:`fingerprint`: a hash of all that the model sees."""
        pictures = [pair.reference.pixel_sha256, pair.target.pixel_sha256] if self.sees_images else []
        return hashlib.sha256(json.dumps([request, *pictures], ensure_ascii=False).encode()).hexdigest()


REWRITERS = Room(
    "rewriter",
    {
        "endpoint": "spn4cir_core.texts.endpoint:Endpoint",
        "llm": "spn4cir_core.texts.llm:Llm",
        "vlm": "spn4cir_core.texts.vlm:Vlm",
    },
)
