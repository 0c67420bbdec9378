"""What a reranker adds to the served order of the report's queries, and how long it takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from spn4cir_core.engine.progress import Progress
from spn4cir_core.evaluation.base import MAP_K
from spn4cir_core.evaluation.measure import Answers
from spn4cir_core.evaluation.recall import average_precision, bootstrap_means, hits_at, interval
from spn4cir_core.evaluation.significance import randomisation_p
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reranking.base import Reranker, new_order
from spn4cir_core.reranking.stored_scores import Scored, ToScore, stored_scores
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.roles import served_among


@dataclass(frozen=True)
class Reranked:
    """One query set's served hits in the reranker's order.

    Attributes:
        model: the model whose first hits are reranked.
        ranks_Q: (Q,) ranks of the best target, from 0.
        precision_Q: (Q,) average precision of the first ``MAP_K`` hits.
        unanswered: queries whose order stayed, since no candidate got a score.
        seconds: the reranker's, a query; None where it answered none.
    """

    model: str
    ranks_Q: np.ndarray
    precision_Q: np.ndarray
    unanswered: int
    seconds: float | None


def rerank_answers(
    reranker: Reranker,
    answers: Sequence[Answers],
    pictures: dict[str, tuple[str, str]],
    files: ImageFiles,
    store: Store,
    progress: Progress,
    seconds: defaultdict[str, float],
) -> dict[str, Reranked]:
    """The served model's composed answers reranked, by query set; scores are stored, so a killed run resumes.

    Args:
        answers: with at least the reranker's ``top`` first hits in ``candidates``.
        pictures: path and pixel hash by image id.

    Raises:
        InputError: the model cannot be used, or a reference image cannot be read.
    """
    queries: list[ToScore] = []
    hits: list[tuple[Answers, str, np.ndarray]] = []
    for answer in answers:
        model = served_among(answer.models).name
        rows_QK = answer.candidates[model][:, : reranker.top]
        hits.append((answer, model, rows_QK))
        for query, rows_K in zip(answer.query_set.queries, rows_QK, strict=True):
            candidates = [answer.query_set.gallery_ids[row] for row in rows_K if row >= 0]
            references, shown = (
                tuple(pictures[image_id] for image_id in image_ids) for image_ids in (query.reference_ids, candidates)
            )
            queries.append(ToScore(query.modified_text, references, shown))
    scored = iter(stored_scores(reranker, queries, files, store, progress, seconds))
    return {
        answer.query_set.name: _reranked(answer, model, rows_QK, [*islice(scored, len(rows_QK))])
        for answer, model, rows_QK in hits
    }


def _reranked(answer: Answers, model: str, rows_QK: np.ndarray, scored: Sequence[Scored | None]) -> Reranked:
    set_row = {image_id: row for row, image_id in enumerate(answer.query_set.gallery_ids)}
    at = answer.query_set.map_ks.index(MAP_K)
    ranks_Q = answer.ranks[model, "composed"].copy()
    precision_Q = answer.precision[model, "composed"][:, at].copy()
    for number, (query, given) in enumerate(zip(answer.query_set.queries, scored, strict=True)):
        if given is None:
            continue
        hits = [int(row) for row in rows_QK[number] if row >= 0]
        ordered = np.array([hits[position] for position in new_order(given.scores)])
        right_K = np.isin(ordered, [set_row[image_id] for image_id in query.target_ids])
        ranks_Q[number] = _rank(right_K, int(ranks_Q[number]))
        precision_Q[number] = average_precision(right_K[:MAP_K], len(query.target_ids))
    answered = [given.seconds for given in scored if given is not None]
    seconds = float(np.mean(answered)) if answered else None
    return Reranked(model, ranks_Q, precision_Q, len(scored) - len(answered), seconds)


def _rank(right_K: np.ndarray, former: int) -> int:
    """Candidates before the first target among them; where there is none, the former rank, which lies behind them."""
    return int(np.argmax(right_K)) if right_K.any() else max(former, len(right_K))


def reranking_summary(
    reranker: Reranker, answers: Answers, reranked: Reranked, ks: Sequence[int], draws: int, seed: int
) -> dict[str, Any]:
    """What the report says of one query set: ``kind`` and ``top`` of the reranker, ``model`` whose hits it gets,
    ``queries``, ``unanswered``, ``seconds`` a query (None where it answered none), and ``measures``.

    Each row of ``measures`` has a ``name`` (``R@5``, ``mAP@10``), ``without``, ``with``, their ``difference`` with its
    95 % interval ``low`` to ``high`` (bootstrap over reference images), and ``p`` of a randomisation test.
    """
    model, at = reranked.model, answers.query_set.map_ks.index(MAP_K)
    references = [query.reference_id for query in answers.query_set.queries]
    without_QM = np.column_stack(
        [hits_at(answers.ranks[model, "composed"], ks), answers.precision[model, "composed"][:, at]]
    )
    with_QM = np.column_stack([hits_at(reranked.ranks_Q, ks), reranked.precision_Q])
    difference_QM = with_QM - without_QM
    low_M, high_M = interval(bootstrap_means(difference_QM, references, draws, seed))
    p_M = randomisation_p(difference_QM, references, draws, seed)
    columns = {
        "without": without_QM.mean(0),
        "with": with_QM.mean(0),
        "difference": difference_QM.mean(0),
        "low": low_M,
        "high": high_M,
        "p": p_M,
    }
    names = [*(f"R@{k}" for k in ks), f"mAP@{MAP_K}"]
    return {
        "kind": reranker.plugin_kind,
        "top": reranker.top,
        "model": model,
        "queries": len(references),
        "unanswered": reranked.unanswered,
        "seconds": reranked.seconds,
        "measures": [
            {"name": name, **{key: float(values[column]) for key, values in columns.items()}}
            for column, name in enumerate(names)
        ],
    }
