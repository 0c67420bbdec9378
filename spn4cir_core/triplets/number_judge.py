"""Judge: any captioner that takes a request is asked for a number from 0 to 10."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

from PIL import Image
from pydantic import AfterValidator
from typing_extensions import override

from spn4cir_core.captions.base import CAPTIONERS, Captioner, ToCaption
from spn4cir_core.engine.plugins import Choice
from spn4cir_core.errors import RecipeError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.triplets.judge import Case, Judge, check_question

QUESTION = (
    "The left picture is the reference, the right one is the target. Someone asks to change the reference: "
    '"{text}". How well does the target answer that request, from 0 (not at all) to 10 (exactly)? '
    "Answer with one number only."
)
HIGHEST = 10


class NumberJudge(Judge):
    """For servers (``endpoint``) and local models (``llava``) alike. An answer without a number is no score."""

    plugin_kind: ClassVar[str] = "number"
    question: Annotated[str, AfterValidator(check_question)] = QUESTION
    model: Annotated[Captioner, Choice(CAPTIONERS)]
    """A captioner's table; its own ``request`` is not used."""

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        identity = {"kind": self.plugin_kind, "question": self.question, "side_px": self.side_px}
        return fingerprint({**identity, "model": self.model.fingerprint(files)})

    def start(self, files: ImageFiles) -> Callable[[Sequence[Case]], list[float | None]]:
        """See the base class.

        Raises:
            RecipeError: the captioner takes no request.
        """
        return _Asking(with_category_as_request(self.model).start(files))


class _Asking:
    """Judges batches by what a captioner answers."""

    def __init__(self, answer: Callable[[Sequence[ToCaption], Sequence[Image.Image]], Sequence[str | None]]) -> None:
        self._answer = answer

    @property
    def counts(self) -> dict[str, float]:
        """What the captioner counted; nothing where it does not count."""
        return dict(getattr(self._answer, "counts", {}))

    def __call__(self, cases: Sequence[Case]) -> list[float | None]:
        answers = self._answer([_question(case) for case in cases], [case.both for case in cases])
        return [None if text is None else number_in(text) for text in answers]


def with_category_as_request(model: Captioner) -> Captioner:
    """The captioner with nothing but its category as request; that is where a question is put.

    Raises:
        RecipeError: it takes no request.
    """
    if "request" not in type(model).model_fields:
        raise RecipeError(
            f"triplets.judge: the captioner {model.plugin_kind!r} takes no request; use endpoint or llava"
        )
    return model.model_copy(update={"request": "{category}"})


def number_in(answer: str) -> float | None:
    """The first number from 0 to 10 in an answer, divided by 10."""
    numbers = (float(number) for number in re.findall(r"(?<![\d.])\d+(?:\.\d+)?", answer))
    return next((number / HIGHEST for number in numbers if number <= HIGHEST), None)


def _question(case: Case) -> ToCaption:
    return ToCaption(image_id=case.question, path="", pixel_sha256="", category=case.question)
