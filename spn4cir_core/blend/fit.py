"""Weights of the blend: non-negative, fitted on validation queries, zero for a channel that does not help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PRIOR_STRENGTH = 1.0
"""Of the pull to equal weights, which keeps channels that say nearly the same from trading weight at random."""
BOOTSTRAPS = 100
HARDEST = 200
"""Candidates of each query that the likelihood is computed over, beside its targets: the best of an even blend."""
EXCLUDED = -1e6
"""Score of the reference image in every channel, below any standard score."""


@dataclass(frozen=True)
class WeightFit:
    """Result of a fit over C channels.

    Attributes:
        weight_C: non-negative; what is served.
        low_C: 2.5 % quantile of the weights over bootstraps of the queries.
        high_C: 97.5 % quantile.
        recall: recall@1 of the blend on the validation queries, 0 … 1.
        recall_alone_C: of each channel alone.
        recall_without_C: of the blend with one channel left out.
        fallback: whether the best single channel is served because the fitted blend was below it.
    """

    weight_C: np.ndarray
    low_C: np.ndarray
    high_C: np.ndarray
    recall: float
    recall_alone_C: np.ndarray
    recall_without_C: np.ndarray
    fallback: bool


def fit_weights(
    standard_QCN: np.ndarray,
    targets: Sequence[Sequence[int]],
    excluded: Sequence[int],
    seed: int = 0,
    prior_strength: float = PRIOR_STRENGTH,
) -> WeightFit:
    """Maximise the mean log-likelihood of the targets under a softmax over the candidates, then check recall@1.

    Deterministic. The listwise likelihood is that of ListNet (Cao et al. 2007, equation 5, top one). A channel without
    which queries outside the fit (the other half of them) do no worse gets the weight 0, one after another.

    Args:
        standard_QCN: calibrated scores, 0 where a channel has none.
        targets: rows of the correct candidates of each query.
        excluded: row of each query's reference image, or -1.

    Raises:
        ValueError: no queries.
    """
    if not len(standard_QCN):
        raise ValueError("no validation queries to fit weights on")
    scores_QCN = _without_excluded(standard_QCN, excluded)
    sample = _Sample.of(scores_QCN, targets)
    alive_C = np.abs(standard_QCN).max((0, 2)) > 0
    weight_C = _eliminated(sample, alive_C, prior_strength)
    drawn_BC = _bootstrapped(sample, weight_C, seed, prior_strength)
    alone_C = np.array([recall_at_1(scores_QCN, unit, targets) for unit in np.eye(len(alive_C))])
    recall = recall_at_1(scores_QCN, weight_C, targets)
    best = int(np.argmax(np.where(alive_C, alone_C, -1)))
    fallback = recall < alone_C[best] or not weight_C.any()
    if fallback:
        weight_C, recall = np.eye(len(alive_C))[best], float(alone_C[best])
    without_C = np.array(
        [
            recall_at_1(scores_QCN, np.where(np.arange(len(alive_C)) == c, 0, weight_C), targets)
            for c in range(len(alive_C))
        ]
    )
    low_C, high_C = np.quantile(drawn_BC, [0.025, 0.975], axis=0)
    return WeightFit(weight_C, low_C, high_C, recall, alone_C, without_C, fallback)


def recall_at_1(score_QCN: np.ndarray, weight_C: np.ndarray, targets: Sequence[Sequence[int]]) -> float:
    """Share of queries whose best candidate is a target; equal scores at the top count by their share of targets."""
    if not np.any(weight_C):
        return 0.0
    hits = []
    for score_CN, rows in zip(score_QCN, targets, strict=True):
        total_N = weight_C @ score_CN
        best = np.flatnonzero(total_N >= total_N.max())
        hits.append(np.isin(best, rows).mean())
    return float(np.mean(hits))


@dataclass(frozen=True)
class _Sample:
    """The hardest candidates of each query with its targets: scores (Q, C, M) and which of the M are targets."""

    score_QCM: np.ndarray
    target_QM: np.ndarray
    valid_QM: np.ndarray

    @classmethod
    def of(cls, score_QCN: np.ndarray, targets: Sequence[Sequence[int]]) -> _Sample:
        even_QN = score_QCN.mean(1)
        query_count, _, count = score_QCN.shape
        hardest = min(count, HARDEST)
        target_QN = np.zeros((query_count, count), bool)
        for number, rows in enumerate(targets):
            target_QN[number, list(rows)] = True
        order_QM = np.argsort(np.where(target_QN, np.inf, even_QN), axis=1, kind="stable")[:, ::-1][:, :hardest]
        score_QCM = np.take_along_axis(score_QCN, order_QM[:, None], 2)
        return cls(
            np.maximum(score_QCM, -1e4).astype(np.float64),
            np.take_along_axis(target_QN, order_QM, 1),
            np.take_along_axis(even_QN, order_QM, 1) > EXCLUDED / 2,
        )

    def loss_Q(self, weight_C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Negative log-likelihood of each query, (Q,), and its gradient, (Q, C)."""
        logit_QM = np.where(self.valid_QM, np.einsum("c,qcm->qm", weight_C, self.score_QCM), -np.inf)
        all_Q1, p_QM = _softmax(logit_QM)
        right_Q1, r_QM = _softmax(np.where(self.target_QM, logit_QM, -np.inf))
        gradient_QC = np.einsum("qm,qcm->qc", p_QM - r_QM, self.score_QCM)
        return (all_Q1 - right_Q1)[:, 0], gradient_QC


def _softmax(logit_QM: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    top_Q1 = logit_QM.max(1, keepdims=True)
    part_QM = np.exp(logit_QM - top_Q1)
    sum_Q1 = part_QM.sum(1, keepdims=True)
    return top_Q1 + np.log(sum_Q1), part_QM / sum_Q1


def _minimise(
    sample: _Sample, alive_C: np.ndarray, start_C: np.ndarray, prior_strength: float, query_weight_Q: np.ndarray
) -> np.ndarray:
    """Non-negative weights of least loss, by L-BFGS-B; ``query_weight_Q`` sums to 1.

    The prior pulls the weights of channels in use to their common mean: (λ / 2) Σ (w − mean w)², and weakly to 0.
    """
    from scipy.optimize import minimize

    count = max(1, int(alive_C.sum()))

    def loss(weight_C: np.ndarray) -> tuple[float, np.ndarray]:
        loss_Q, gradient_QC = sample.loss_Q(weight_C)
        apart_C = np.where(alive_C, weight_C - weight_C[alive_C].sum() / count, 0)
        small = 1e-3 * weight_C
        value = query_weight_Q @ loss_Q + prior_strength / 2 * apart_C @ apart_C + 0.5 * small @ weight_C
        return float(value), query_weight_Q @ gradient_QC + prior_strength * apart_C + small

    bounds = [(0.0, None if alive else 0.0) for alive in alive_C]
    result = minimize(loss, np.where(alive_C, start_C, 0), jac=True, method="L-BFGS-B", bounds=bounds)
    weight_C: np.ndarray = result.x
    return weight_C


def _eliminated(sample: _Sample, alive_C: np.ndarray, prior_strength: float) -> np.ndarray:
    """Fit, leaving channels out one after another while queries that were not fitted on do no worse without one."""
    even_Q = np.full(len(sample.score_QCM), 1 / len(sample.score_QCM))
    start_C = np.full(len(alive_C), 0.3)
    alive_C = alive_C.copy()
    loss = _held_out_loss(sample, alive_C, start_C, prior_strength)
    while alive_C.sum() > 1:
        fewer = [alive_C & (np.arange(len(alive_C)) != channel) for channel in np.flatnonzero(alive_C)]
        losses = [_held_out_loss(sample, fewer_C, start_C, prior_strength) for fewer_C in fewer]
        best = int(np.argmin(losses))
        if losses[best] > loss:
            break
        alive_C, loss = fewer[best], losses[best]
    return _minimise(sample, alive_C, start_C, prior_strength, even_Q)


def _held_out_loss(sample: _Sample, alive_C: np.ndarray, start_C: np.ndarray, prior_strength: float) -> float:
    """Mean loss of each half of the queries under the weights fitted on the other half."""
    number_Q = np.arange(len(sample.score_QCM))
    total = 0.0
    for half in (0, 1):
        fitted_Q = (number_Q % 2 == half) if len(number_Q) > 1 else np.ones(1, bool)
        weight_C = _minimise(sample, alive_C, start_C, prior_strength, fitted_Q / fitted_Q.sum())
        total += float(sample.loss_Q(weight_C)[0][~fitted_Q].sum())
    return total / len(number_Q)


def _bootstrapped(sample: _Sample, weight_C: np.ndarray, seed: int, prior_strength: float) -> np.ndarray:
    """Weights (B, C) of the channels in use, fitted on queries drawn with replacement."""
    rng = np.random.default_rng(seed)
    queries = len(sample.score_QCM)
    draws = []
    for _ in range(BOOTSTRAPS):
        drawn_Q = rng.multinomial(queries, np.full(queries, 1 / queries)) / queries
        draws.append(_minimise(sample, weight_C > 0, weight_C, prior_strength, drawn_Q))
    return np.array(draws)


def _without_excluded(standard_QCN: np.ndarray, excluded: Sequence[int]) -> np.ndarray:
    scores_QCN = np.array(standard_QCN, np.float32)
    for number, row in enumerate(excluded):
        if row >= 0:
            scores_QCN[number, :, row] = EXCLUDED
    return scores_QCN
