"""What the ``eval_report`` stage reads of a recipe."""

from __future__ import annotations

from typing import Annotated

from spn4cir_core.engine.plugins import Choice
from spn4cir_core.evaluation.settings import ReportInput
from spn4cir_core.reranking.base import RERANKERS, Reranker


class RerankedReportInput(ReportInput):
    """The tables that decide the answers, and the reranker that is measured beside them."""

    rerank: Annotated[Reranker, Choice(RERANKERS)] | None
