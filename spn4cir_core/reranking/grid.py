"""Reranker: all candidates on one numbered grid, put in order by one answer of a vision-language model (listwise)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import ceil, sqrt
from typing import Annotated, ClassVar

from PIL import Image
from pydantic import AfterValidator, Field
from typing_extensions import override

from spn4cir_core.captions.base import CAPTIONERS, Captioner, ToCaption
from spn4cir_core.engine.plugins import Choice
from spn4cir_core.images.contact_sheet import contact_sheet
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.answer_text import without_thoughts
from spn4cir_core.reranking.base import Reranker, Score, Shortlist
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.triplets.judge import TEXT, check_question
from spn4cir_core.triplets.number_judge import with_category_as_request

QUESTION = (
    "The pictures named R are the reference. Someone asks to change the reference: "
    '"{text}". Which of the numbered pictures show the result? '
    "Answer with one line: the numbers of those that do, the best one first, separated by commas."
)
READING = 1
"""Goes up whenever the same answer would give other scores."""
_NUMBERS = re.compile(r"\d+(?:\s*[,;>\s]\s*(?:and\s+)?#?\d+)*")


class Grid(Reranker):
    """One question for each query, whatever the number of candidates; small pictures, so keep ``top`` near 20.

    Pictures that the answer names come first, in its order; the others follow as they were. An answer without a number,
    or with one that no picture has, changes nothing.
    """

    plugin_kind: ClassVar[str] = "grid"
    question: Annotated[str, AfterValidator(check_question)] = QUESTION
    """``{text}`` stands for the modified text."""
    model: Annotated[Captioner, Choice(CAPTIONERS)]
    """A captioner's table (``vlm``, ``endpoint``); its own ``request`` is not used."""
    top: int = Field(default=20, ge=2, le=100)
    side_px: int = Field(default=160, ge=16, le=1024)
    """Of each picture on the grid."""

    @property
    @override
    def picture_px(self) -> int:
        return self.side_px

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        identity = {"kind": self.plugin_kind, "question": self.question, "side_px": self.side_px, "reading": READING}
        return fingerprint({**identity, "model": self.model.fingerprint(files)})

    @override
    def start(self, files: ImageFiles) -> Callable[[Shortlist], Sequence[Score]]:
        """See the base class.

        Raises:
            RecipeError: the captioner takes no request.
        """
        answer = with_category_as_request(self.model).start(files)

        def scores(shortlist: Shortlist) -> Sequence[Score]:
            question = self.question.replace(TEXT, shortlist.text)
            item = ToCaption(image_id=question, path="", pixel_sha256="", category=question)
            (text,) = answer([item], [grid_of(shortlist, self.side_px)])
            return scores_in(text or "", len(shortlist.candidates))

        return scores


def grid_of(shortlist: Shortlist, side_px: int) -> Image.Image:
    """The reference images, named R, and the candidates, numbered from 1, row by row on white."""
    tiles = [(picture, "R") for picture in shortlist.references]
    tiles += [(picture, str(number)) for number, picture in enumerate(shortlist.candidates, 1)]
    return contact_sheet(tiles, ceil(sqrt(len(tiles))), side_px)


def scores_in(answer: str, candidates: int) -> list[Score]:
    """A score for each candidate: the higher the earlier the answer names it, 0 for those that it does not name.

    All None where the answer names no candidate, or a number that none has.
    """
    lists = _NUMBERS.findall(without_thoughts(answer).replace("*", ""))
    named = list(dict.fromkeys(int(number) for number in re.findall(r"\d+", lists[-1]))) if lists else []
    if not named or not all(1 <= number <= candidates for number in named):
        return [None] * candidates
    score_of = {number: float(candidates - position) for position, number in enumerate(named)}
    return [score_of.get(number, 0.0) for number in range(1, candidates + 1)]
