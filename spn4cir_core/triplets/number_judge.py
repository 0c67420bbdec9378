"""Judge: any captioner that takes a request, with a prompt for a number from 0 to 10."""

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
from spn4cir_core.models.answer_text import without_thoughts
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.triplets.judge import Case, Judge, check_question

QUESTION = (
    "The left picture is the reference, the right one is the target. Someone asks to change the reference: "
    '"{text}". How well does the target answer that request, from 0 (not at all) to 10 (exactly)? '
    "Answer with one line of the form: score: N"
)
HIGHEST = 10
READING = 2
"""Goes up whenever the same answer would give another score."""
_NUMBER = r"(\d+(?:\.\d+)?)(?![\d.]*\d)"
_SCALE = re.compile(r"\b(?:from |between )?(?:0|zero|1|one) ?(?:to|and|[-–—]) ?(?:10|ten)\b", re.IGNORECASE)
_FORM = re.compile(
    rf"\b(?:score|rating|grade|answer)\b(?: (?:is|of|would be))?[\s:=\"']*{_NUMBER}(?! ?/ ?(?!10\b)\d)", re.IGNORECASE
)
_OF_TEN = re.compile(rf"{_NUMBER} ?(?:/|out of) ?(?:10|ten)\b", re.IGNORECASE)
_ALONE = re.compile(rf"(?<![\d.,/-]){_NUMBER}(?! ?/)")


class NumberJudge(Judge):
    """For servers (``endpoint``) and local models (``llava``) alike. An answer that does not say
    which of its numbers is the score gives none."""

    plugin_kind: ClassVar[str] = "number"
    question: Annotated[str, AfterValidator(check_question)] = QUESTION
    model: Annotated[Captioner, Choice(CAPTIONERS)]
    """A captioner's table; its own ``request`` is not used."""

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        identity = {"kind": self.plugin_kind, "question": self.question, "side_px": self.side_px, "reading": READING}
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
        """The captioner's counts; empty where it does not count."""
        return dict(getattr(self._answer, "counts", {}))

    def __call__(self, cases: Sequence[Case]) -> list[float | None]:
        answers = self._answer([_question(case) for case in cases], [case.both for case in cases])
        return [None if text is None else score_in(text) for text in answers]


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


def score_in(answer: str) -> float | None:
    """The score from 0 to 10 that an answer gives, divided by 10; None where it gives none or several.

    It is read from the form "score: N", else from "N/10" or "N out of 10", else from the only number there is.
    """
    text = _SCALE.sub(" ", re.sub(r"[*_`]", "", without_thoughts(answer)))
    for form in (_FORM, _OF_TEN, _ALONE):
        if numbers := {float(number) for number in form.findall(text)}:
            return min(numbers) / HIGHEST if len(numbers) == 1 and max(numbers) <= HIGHEST else None
    return None


def _question(case: Case) -> ToCaption:
    return ToCaption(image_id=case.question, path="", pixel_sha256="", category=case.question)
