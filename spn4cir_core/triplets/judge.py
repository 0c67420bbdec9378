"""Base class of judges: models that see both images and score whether the text leads from one to the other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from PIL import Image
from pydantic import AfterValidator, Field

from spn4cir_core.engine.plugins import Plugin
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.fingerprints import OmitFromFingerprint

TEXT = "{text}"


def check_question(question: str) -> str:
    """Return the question if it has the placeholder.

    Raises:
        ValueError: it has no ``{text}``.
    """
    if TEXT not in question:
        raise ValueError(f"the question has no {TEXT}")
    return question


@dataclass(frozen=True)
class Case:
    """A judge's input: reference (left) and target (right) side by side, and what to ask about them."""

    both: Image.Image
    question: str


class Judge(Plugin):
    """Gives scores from 0 (the text is wrong) to 1 (it leads from reference to target). Settings are fields."""

    question: Annotated[str, AfterValidator(check_question)]
    """``{text}`` stands for the modified text."""
    side_px: int = Field(default=448, ge=32, le=4096)
    """Side of the square that each of the two pictures is fitted into, in pixels."""
    batch_rows: Annotated[int, OmitFromFingerprint()] = Field(default=16, ge=1)
    shard_rows: Annotated[int, OmitFromFingerprint()] = Field(default=128, ge=1)

    @abstractmethod
    def fingerprint(self, files: ImageFiles) -> str:
        """Hash of all that decides a score besides pictures and text.

        Raises:
            InputError: the model is not there.
        """

    @abstractmethod
    def start(self, files: ImageFiles) -> Callable[[Sequence[Case]], Sequence[float | None]]:
        """Load the model and return the function from a batch of cases to scores; None where it gave none.

        A score of None is not kept: the next run asks again. A score must not depend on the other cases.
        """
