"""Reranker: a judge of triplets asked about each candidate on its own (pointwise)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Annotated, ClassVar

from typing_extensions import override

from spn4cir_core.engine.plugins import Choice
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reranking.base import Reranker, Score, Shortlist
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.triplets.base import JUDGES
from spn4cir_core.triplets.judge import TEXT, Case, Judge
from spn4cir_core.triplets.side_by_side import side_by_side


class Judged(Reranker):
    """A candidate's score is the judge's, from 0 to 1; with several reference images the mean over them.

    The judge ``yes`` gives P(yes) / (P(yes) + P(no)) of a local vision-language model, ``number`` the number that a
    server or a local model answers. One question for each candidate and reference image.
    """

    plugin_kind: ClassVar[str] = "judge"
    judge: Annotated[Judge, Choice(JUDGES)]
    """The table of a judge."""

    @property
    @override
    def picture_px(self) -> int:
        return self.judge.side_px

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        return fingerprint({"kind": self.plugin_kind, "judge": self.judge.fingerprint(files)})

    @override
    def start(self, files: ImageFiles) -> Callable[[Shortlist], Sequence[Score]]:
        judge, rows = self.judge.start(files), self.judge.batch_rows

        def scores(shortlist: Shortlist) -> list[Score]:
            question = self.judge.question.replace(TEXT, shortlist.text)
            cases = [
                Case(side_by_side(reference, candidate, self.judge.side_px), question)
                for candidate in shortlist.candidates
                for reference in shortlist.references
            ]
            judged = [score for start in range(0, len(cases), rows) for score in judge(cases[start : start + rows])]
            each = len(shortlist.references)
            return [_mean(judged[start : start + each]) for start in range(0, len(judged), each)]

        return scores


def _mean(scores: Sequence[Score]) -> Score:
    known = [score for score in scores if score is not None]
    return fmean(known) if known and len(known) == len(scores) else None
