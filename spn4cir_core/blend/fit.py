"""Weights of the blend: non-negative, fitted on validation queries, zero for a channel that does not help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PRIOR_STRENGTHS = (1.0, 0.1, 0.01, 0.001)
"""Strengths of the pull to equal weights, which keeps near-equal channels from trading weight at random. The one
that queries outside the fit like best is taken."""
START = 0.3
"""Weight of every channel before a fit."""
BOOTSTRAPS = 100
FEW_QUERIES = 20
"""With fewer queries no channel is left out: that it does not help them is chance, and it may be the one that reads the
text."""
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
    prior_strengths: Sequence[float] = PRIOR_STRENGTHS,
) -> WeightFit:
    """Maximise the mean log-likelihood of the targets under a softmax over the candidates, then check recall@1.

    Deterministic. The listwise likelihood is that of ListNet (Cao et al. 2007, equation 5, top one). A channel without
    which queries outside the fit (the other half of them) do not worse by more than one standard error gets the weight
    0, one after another (Breiman et al. 1984, section 3.4.3). Fewer than 20 queries decide neither that nor how strong
    the pull to equal weights is: all channels stay, under the strongest one.

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
    few = len(standard_QCN) < FEW_QUERIES
    prior_strength = max(prior_strengths) if few else _best_prior(sample, alive_C, prior_strengths)
    weight_C = _fitted(sample, alive_C if few else _helpful(sample, alive_C, prior_strength), prior_strength)
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
    """The hardest candidates of each query, its T ≤ M targets first: scores (Q, M, C), and 0 or minus infinity, (Q, M),
    where a candidate counts, and (Q, T), where it is a target."""

    score_QMC: np.ndarray
    valid_QM: np.ndarray
    target_QT: np.ndarray

    @classmethod
    def of(cls, score_QCN: np.ndarray, targets: Sequence[Sequence[int]]) -> _Sample:
        even_QN = score_QCN.mean(1)
        query_count, _, count = score_QCN.shape
        hardest = min(count, HARDEST)
        target_QN = np.zeros((query_count, count), bool)
        for number, rows in enumerate(targets):
            target_QN[number, list(rows)] = True
        order_QM = np.argsort(np.where(target_QN, np.inf, even_QN), axis=1, kind="stable")[:, ::-1][:, :hardest]
        score_QCM = np.maximum(np.take_along_axis(score_QCN, order_QM[:, None], 2), -1e4)
        most = int(target_QN.sum(1).max())
        target_QT = np.take_along_axis(target_QN, order_QM[:, :most], 1)
        valid_QM = np.take_along_axis(even_QN, order_QM, 1) > EXCLUDED / 2
        return cls(
            np.ascontiguousarray(score_QCM.transpose(0, 2, 1), np.float64),
            np.where(valid_QM, 0, -np.inf),
            np.where(target_QT, 0, -np.inf),
        )

    def take(self, rows_Q: np.ndarray, alive_C: np.ndarray) -> _Sample:
        """Some of the queries and of the channels; both are masks."""
        score_QMC = np.ascontiguousarray(self.score_QMC[rows_Q][:, :, alive_C])
        return _Sample(score_QMC, self.valid_QM[rows_Q], self.target_QT[rows_Q])

    def losses(self, weight_C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Negative log-likelihood of each query, (Q,), and its gradient by the candidates' scores, (Q, M)."""
        logit_QM = self.score_QMC @ weight_C
        all_Q, share_QM = _softmax(logit_QM + self.valid_QM)
        targets = self.target_QT.shape[1]
        right_Q, right_share_QT = _softmax(logit_QM[:, :targets] + self.target_QT)
        share_QM[:, :targets] -= right_share_QT
        return all_Q - right_Q, share_QM

    def loss(self, weight_C: np.ndarray, query_weight_Q: np.ndarray) -> tuple[float, np.ndarray]:
        """Weighted sum of the queries' losses, and its gradient by the weights, (C,)."""
        loss_Q, slope_QM = self.losses(weight_C)
        gradient_C = (query_weight_Q[:, None] * slope_QM).ravel() @ self.score_QMC.reshape(-1, len(weight_C))
        return float(query_weight_Q @ loss_Q), gradient_C


def _softmax(logit_QM: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of the sum of exponentials (Q,), and the shares (Q, M)."""
    top_Q1 = logit_QM.max(1, keepdims=True)
    part_QM = np.exp(logit_QM - top_Q1)
    sum_Q1 = part_QM.sum(1, keepdims=True)
    part_QM /= sum_Q1
    return (top_Q1 + np.log(sum_Q1))[:, 0], part_QM


def _minimise(
    sample: _Sample, alive_C: np.ndarray, start_C: np.ndarray, prior_strength: float, query_weight_Q: np.ndarray
) -> np.ndarray:
    """Non-negative weights of least loss, by L-BFGS-B; ``query_weight_Q`` sums to 1.

    The prior pulls the weights of channels in use to their common mean: (λ / 2) Σ (w − mean w)², and weakly to 0.
    """
    from scipy.optimize import minimize

    fitted_Q = query_weight_Q > 0
    part, part_weight_Q = sample.take(fitted_Q, alive_C), query_weight_Q[fitted_Q]

    def loss(weight_A: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient_A = part.loss(weight_A, part_weight_Q)
        apart_A = weight_A - weight_A.mean()
        small_A = 1e-3 * weight_A
        value += prior_strength / 2 * apart_A @ apart_A + 0.5 * small_A @ weight_A
        return float(value), gradient_A + prior_strength * apart_A + small_A

    weight_C = np.zeros(len(alive_C))
    if alive_C.any():
        bounds = [(0.0, None)] * int(alive_C.sum())
        weight_C[alive_C] = minimize(loss, start_C[alive_C], jac=True, method="L-BFGS-B", bounds=bounds).x
    return weight_C


def _best_prior(sample: _Sample, alive_C: np.ndarray, strengths: Sequence[float]) -> float:
    """The strength of least loss on queries outside the fit, the first of equal ones."""
    return min(strengths, key=lambda strength: _held_out_loss(sample, alive_C, strength).mean())


def _fitted(sample: _Sample, alive_C: np.ndarray, prior_strength: float) -> np.ndarray:
    """Weights (C,) of the channels in use, every query counting alike."""
    even_Q = np.full(len(sample.score_QMC), 1 / len(sample.score_QMC))
    return _minimise(sample, alive_C, np.full(len(alive_C), START), prior_strength, even_Q)


def _helpful(sample: _Sample, alive_C: np.ndarray, prior_strength: float) -> np.ndarray:
    """(C,) bool: what stays when channels go one by one while queries outside the fit do hardly worse without."""
    alive_C = alive_C.copy()
    loss_Q = _held_out_loss(sample, alive_C, prior_strength)
    while alive_C.sum() > 1:
        fewer = [alive_C & (np.arange(len(alive_C)) != channel) for channel in np.flatnonzero(alive_C)]
        losses = [_held_out_loss(sample, fewer_C, prior_strength) for fewer_C in fewer]
        best = int(np.argmin([without_Q.mean() for without_Q in losses]))
        worse_Q = losses[best] - loss_Q
        if worse_Q.mean() > worse_Q.std() / len(worse_Q) ** 0.5:
            break
        alive_C, loss_Q = fewer[best], losses[best]
    return alive_C


def _held_out_loss(sample: _Sample, alive_C: np.ndarray, prior_strength: float) -> np.ndarray:
    """Loss (Q,) of each query under the weights fitted on the half of the queries that it is not in."""
    number_Q = np.arange(len(sample.score_QMC))
    loss_Q = np.zeros(len(number_Q))
    for half in (0, 1):
        fitted_Q = (number_Q % 2 == half) if len(number_Q) > 1 else np.ones(1, bool)
        weight_C = _minimise(sample, alive_C, np.full(len(alive_C), START), prior_strength, fitted_Q / fitted_Q.sum())
        loss_Q[~fitted_Q] = sample.take(~fitted_Q, alive_C).losses(weight_C[alive_C])[0]
    return loss_Q


def _bootstrapped(sample: _Sample, weight_C: np.ndarray, seed: int, prior_strength: float) -> np.ndarray:
    """Weights (B, C) of the channels in use, fitted on queries drawn with replacement."""
    rng = np.random.default_rng(seed)
    queries = len(sample.score_QMC)
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
