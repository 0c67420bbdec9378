"""Weights of the blend: non-negative, fitted on validation queries, zero for a channel that does not help."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from spn4cir_core.blend.ties import best_tie_break, with_tie_break
from spn4cir_core.engine.blas_threads import one_blas_thread

PRIOR_STRENGTHS = (1.0, 0.1, 0.01, 0.001)
"""Strengths of the pull to equal weights, which keeps near-equal channels from trading weight at random. The one
that queries outside the fit like best is taken."""
START = 0.3
"""Weight of every channel before a fit."""
SMALLEST = 0.01
"""Weight of a channel that is served alone, at the least: its scores count, however little they say."""
BOOTSTRAPS = 100
MOST_THREADS = 8
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
        weight_C: non-negative; what is served, of pictures that have a caption.
        without_caption_C: of pictures that have none.
        low_C: 2.5 % quantile of the weights over bootstraps of the queries.
        high_C: 97.5 % quantile.
        recall: recall@1 of the blend on the validation queries, 0 … 1.
        recall_alone_C: of each channel alone.
        recall_without_C: of the blend with one channel left out.
        fallback: whether the best single channel is served because the fitted blend was below it.
        tie_break: channel whose weight is not fitted and orders pictures of equal captions alone; None: none is.
    """

    weight_C: np.ndarray
    without_caption_C: np.ndarray
    low_C: np.ndarray
    high_C: np.ndarray
    recall: float
    recall_alone_C: np.ndarray
    recall_without_C: np.ndarray
    fallback: bool
    tie_break: int | None = None


def fit_weights(
    standard_QCN: np.ndarray,
    targets: Sequence[Sequence[int]],
    excluded: Sequence[int],
    seed: int = 0,
    prior_strengths: Sequence[float] = PRIOR_STRENGTHS,
    captioned_N: np.ndarray | None = None,
    further: Sequence[Sample] = (),
    tie_breaks_C: np.ndarray | None = None,
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
        captioned_N: which candidates have a caption; None: all.
        further: the same queries over candidates of which some have lost their caption; fitted on too, not measured.
        tie_breaks_C: channels of which the best one alone is to order what the others leave equal, where none of them
            has a weight and recall does not fall by it; None: none.

    Raises:
        ValueError: no queries.
    """
    if not len(standard_QCN):
        raise ValueError("no validation queries to fit weights on")
    scores_QCN = _without_excluded(standard_QCN, excluded)
    channels = standard_QCN.shape[1]
    captioned_N = np.ones(standard_QCN.shape[2], bool) if captioned_N is None else captioned_N
    sample = Sample.joined([Sample.of(standard_QCN, targets, excluded, captioned_N), *further])
    fitted_W, prior_strength = _fitted(sample, prior_strengths)
    weight_C, without_caption_C = fitted_W[:channels], fitted_W[channels:]

    def recall_of(captioned_C: np.ndarray, uncaptioned_C: np.ndarray) -> float:
        return recall_at_1(scores_QCN, captioned_C, targets, uncaptioned_C, captioned_N)

    alone_C = np.array([recall_of(unit_C, unit_C) for unit_C in np.eye(channels)])
    recall = recall_of(weight_C, without_caption_C)
    has_scores_C = np.abs(standard_QCN).max((0, 2)) > 0
    best = int(np.argmax(np.where(has_scores_C, alone_C, -1)))
    fallback = recall < alone_C[best] or not weight_C.any()
    if fallback:
        alone_W = np.concatenate([np.arange(channels) == best, without_caption_C > 0])
        fitted_W = np.where(alone_W, np.maximum(_evenly(sample, alone_W, prior_strength), SMALLEST), 0)
        weight_C, without_caption_C = fitted_W.reshape(2, channels)
        recall = float(alone_C[best])
    low_C, high_C = np.quantile(
        _bootstrapped(sample, fitted_W, seed, prior_strength)[:, :channels], [0.025, 0.975], axis=0
    )
    if fallback:
        low_C, high_C = (np.where(weight_C > 0, np.maximum(bound_C, SMALLEST), 0) for bound_C in (low_C, high_C))
    tie_break = None
    if tie_breaks_C is not None:
        tie_break = best_tie_break(
            weight_C, tie_breaks_C & has_scores_C, alone_C, lambda own_C: recall_of(own_C, without_caption_C)
        )
    if tie_break is not None:
        weight_C = with_tie_break(weight_C, tie_break)
        low_C[tie_break] = high_C[tie_break] = weight_C[tie_break]
        recall = max(recall, recall_of(weight_C, without_caption_C))
    others = 1 - np.eye(channels)
    without_C = np.array([recall_of(weight_C * other_C, without_caption_C * other_C) for other_C in others])
    return WeightFit(weight_C, without_caption_C, low_C, high_C, recall, alone_C, without_C, fallback, tie_break)


def fit_samples(
    samples: Sequence[Sample], prior_strengths: Sequence[float] = PRIOR_STRENGTHS
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (C,) of candidates with a caption and of those without, as :func:`fit_weights` fits them."""
    weight_W, _ = _fitted(Sample.joined(samples), prior_strengths)
    channels = len(weight_W) // 2
    return weight_W[:channels], weight_W[channels:]


def recall_at_1(
    score_QCN: np.ndarray,
    weight_C: np.ndarray,
    targets: Sequence[Sequence[int]],
    without_caption_C: np.ndarray | None = None,
    captioned_N: np.ndarray | None = None,
) -> float:
    """Share of queries whose best candidate is a target; equal scores at the top count by their share of targets."""
    if not np.any(weight_C):
        return 0.0
    total_QN = np.stack([weight_C @ score_CN for score_CN in score_QCN])
    if without_caption_C is not None and captioned_N is not None and not captioned_N.all():
        uncaptioned_QN = np.stack([without_caption_C @ score_CN for score_CN in score_QCN])
        total_QN = np.where(captioned_N, total_QN, uncaptioned_QN)
    return float(hits_at_1(total_QN, targets).mean())


def hits_at_1(total_QN: np.ndarray, targets: Sequence[Sequence[int]]) -> np.ndarray:
    """(Q,) share of targets among the best candidates of each query, 0 … 1: most have one best candidate."""
    is_best_QN = total_QN >= total_QN.max(1, keepdims=True)
    right_Q = [is_best_N[list(set(rows))].sum() for is_best_N, rows in zip(is_best_QN, targets, strict=True)]
    hits_Q: np.ndarray = np.array(right_Q, np.int64) / is_best_QN.sum(1)
    return hits_Q


@dataclass(frozen=True)
class Sample:
    """The hardest candidates of each of Q queries, its T ≤ M targets first.

    Weights are two for each channel, W = 2C: those of candidates with a caption, then those of candidates without.

    Attributes:
        score_WQM: 0 in the half that is not the candidate's; weight by weight, for fast products.
        valid_QM: 0, or minus infinity where a candidate does not count.
        target_QT: 0, or minus infinity where a candidate is no target.
        number_Q: which query it is; the same one may be there with other captions.
    """

    score_WQM: np.ndarray
    valid_QM: np.ndarray
    target_QT: np.ndarray
    number_Q: np.ndarray

    @classmethod
    def of(
        cls,
        standard_QCN: np.ndarray,
        targets: Sequence[Sequence[int]],
        excluded: Sequence[int],
        captioned_N: np.ndarray,
        rows_Q: np.ndarray | None = None,
    ) -> Sample:
        """Of the queries ``rows_Q``, or all; other arguments as of :func:`fit_weights`."""
        rows_Q = np.arange(len(standard_QCN)) if rows_Q is None else rows_Q
        rows: list[int] = rows_Q.tolist()
        scores_QCN = _without_excluded(standard_QCN[rows_Q], [excluded[row] for row in rows])
        known_QN = np.maximum((scores_QCN != 0).sum(1), 1)
        even_QN = scores_QCN.sum(1) / known_QN  # of what is known of a candidate
        query_count, _, count = scores_QCN.shape
        hardest = min(count, HARDEST)
        target_QN = np.zeros((query_count, count), bool)
        for number, row in enumerate(rows):
            target_QN[number, list(targets[row])] = True
        order_QM = np.argsort(np.where(target_QN, np.inf, even_QN), axis=1, kind="stable")[:, ::-1][:, :hardest]
        score_QCM = np.maximum(np.take_along_axis(scores_QCN, order_QM[:, None], 2), -1e4)
        has_caption_QM = captioned_N[order_QM][:, None]
        score_QWM = np.concatenate([np.where(has_caption_QM, score_QCM, 0), np.where(has_caption_QM, 0, score_QCM)], 1)
        most = int(target_QN.sum(1).max(initial=1))
        target_QT = np.take_along_axis(target_QN, order_QM[:, :most], 1)
        valid_QM = np.take_along_axis(even_QN, order_QM, 1) > EXCLUDED / 2
        return cls(
            np.ascontiguousarray(score_QWM.transpose(1, 0, 2), np.float64),
            np.where(valid_QM, 0, -np.inf),
            np.where(target_QT, 0, -np.inf),
            rows_Q,
        )

    @classmethod
    def joined(cls, samples: Sequence[Sample]) -> Sample:
        """All queries of several samples over as many candidates each."""
        most = max(sample.target_QT.shape[1] for sample in samples)
        targets = [
            np.pad(sample.target_QT, ((0, 0), (0, most - sample.target_QT.shape[1])), constant_values=-np.inf)
            for sample in samples
        ]
        return cls(
            np.concatenate([sample.score_WQM for sample in samples], axis=1),
            np.concatenate([sample.valid_QM for sample in samples]),
            np.concatenate(targets),
            np.concatenate([sample.number_Q for sample in samples]),
        )

    def take(self, rows_Q: np.ndarray, alive_W: np.ndarray) -> Sample:
        """Some of the queries and of the weights; both are masks."""
        score_WQM = self.score_WQM[np.ix_(alive_W, rows_Q)]
        return Sample(score_WQM, self.valid_QM[rows_Q], self.target_QT[rows_Q], self.number_Q[rows_Q])

    def losses(self, weight_W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Negative log-likelihood of each query, (Q,), and its gradient by the candidates' scores, (Q, M)."""
        logit_QM = (weight_W @ self._score_WX).reshape(self.valid_QM.shape)
        targets = self.target_QT.shape[1]
        right_Q, right_share_QT = _softmax(logit_QM[:, :targets] + self.target_QT)
        logit_QM += self.valid_QM
        all_Q, share_QM = _softmax(logit_QM)
        share_QM[:, :targets] -= right_share_QT
        return all_Q - right_Q, share_QM

    def loss(self, weight_W: np.ndarray, query_weight_Q: np.ndarray) -> tuple[float, np.ndarray]:
        """Weighted sum of the queries' losses, and its gradient by the weights, (W,)."""
        loss_Q, slope_QM = self.losses(weight_W)
        gradient_W = self._score_WX @ (query_weight_Q[:, None] * slope_QM).ravel()
        return float(query_weight_Q @ loss_Q), gradient_W

    @property
    def _score_WX(self) -> np.ndarray:
        """(W, Q × M) scores, without a copy."""
        return self.score_WQM.reshape(len(self.score_WQM), -1)


def _softmax(logit_QM: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of the sum of exponentials (Q,), and the shares (Q, M), which replace the logits."""
    top_Q1 = logit_QM.max(1, keepdims=True)
    logit_QM -= top_Q1
    share_QM = np.exp(logit_QM, out=logit_QM)
    sum_Q1 = share_QM.sum(1, keepdims=True)
    share_QM /= sum_Q1
    return (top_Q1 + np.log(sum_Q1))[:, 0], share_QM


def _minimise(
    sample: Sample, alive_W: np.ndarray, start_W: np.ndarray, prior_strength: float, query_weight_Q: np.ndarray
) -> np.ndarray:
    """Non-negative weights of least loss, by L-BFGS-B; ``query_weight_Q`` sums to 1.

    The prior pulls the weights of channels in use to their common mean: (λ / 2) Σ (w − mean w)², and weakly to 0.
    """
    from scipy.optimize import minimize

    fitted_Q = query_weight_Q > 0
    part, part_weight_Q = sample.take(fitted_Q, alive_W), query_weight_Q[fitted_Q]

    def loss(weight_A: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient_A = part.loss(weight_A, part_weight_Q)
        apart_A = weight_A - weight_A.mean()
        small_A = 1e-3 * weight_A
        value += prior_strength / 2 * apart_A @ apart_A + 0.5 * small_A @ weight_A
        return float(value), gradient_A + prior_strength * apart_A + small_A

    weight_W = np.zeros(len(alive_W))
    if alive_W.any():
        bounds = [(0.0, None)] * int(alive_W.sum())
        with one_blas_thread():
            weight_W[alive_W] = minimize(loss, start_W[alive_W], jac=True, method="L-BFGS-B", bounds=bounds).x
    return weight_W


def _fitted(sample: Sample, prior_strengths: Sequence[float]) -> tuple[np.ndarray, float]:
    """Weights (W,), those of channels that do not help 0, and the strength of the prior that they are fitted with."""
    alive_W = np.abs(np.where(np.isinf(sample.valid_QM), 0, sample.score_WQM)).max((1, 2)) > 0
    if len(np.unique(sample.number_Q)) < FEW_QUERIES:
        prior_strength = max(prior_strengths)
    else:
        prior_strength = _best_prior(sample, alive_W, prior_strengths)
        alive_W = _helpful(sample, alive_W, prior_strength)
    return _evenly(sample, alive_W, prior_strength), prior_strength


def _evenly(sample: Sample, alive_W: np.ndarray, prior_strength: float) -> np.ndarray:
    """Weights (W,) of the channels in use, every query counting alike."""
    even_Q = np.full(len(sample.number_Q), 1 / len(sample.number_Q))
    return _minimise(sample, alive_W, np.full(len(alive_W), START), prior_strength, even_Q)


def _best_prior(sample: Sample, alive_W: np.ndarray, strengths: Sequence[float]) -> float:
    """The strength of least loss on queries outside the fit, the first of equal ones."""
    return min(strengths, key=lambda strength: _held_out_loss(sample, alive_W, strength).mean())


def _helpful(sample: Sample, alive_W: np.ndarray, prior_strength: float) -> np.ndarray:
    """(W,) bool: what stays when channels go one by one while queries outside the fit do hardly worse without."""
    alive_W = alive_W.copy()
    loss_Q = _held_out_loss(sample, alive_W, prior_strength)
    while alive_W.sum() > 1:
        fewer = [alive_W & (np.arange(len(alive_W)) != channel) for channel in np.flatnonzero(alive_W)]
        losses = _side_by_side(lambda fewer_W: _held_out_loss(sample, fewer_W, prior_strength), fewer)
        best = int(np.argmin([without_Q.mean() for without_Q in losses]))
        worse_Q = _of_queries(sample, losses[best] - loss_Q)
        if worse_Q.mean() > worse_Q.std() / len(worse_Q) ** 0.5:
            break
        alive_W, loss_Q = fewer[best], losses[best]
    return alive_W


def _held_out_loss(sample: Sample, alive_W: np.ndarray, prior_strength: float) -> np.ndarray:
    """Loss (Q,) of each query under the weights fitted on the half of the queries that it is not in."""
    _, order_Q = np.unique(sample.number_Q, return_inverse=True)
    loss_Q = np.zeros(len(order_Q))
    for half in (0, 1):
        fitted_Q = order_Q % 2 == half if order_Q.any() else np.ones(len(order_Q), bool)
        weight_W = _minimise(sample, alive_W, np.full(len(alive_W), START), prior_strength, fitted_Q / fitted_Q.sum())
        loss_Q[~fitted_Q] = sample.take(~fitted_Q, alive_W).losses(weight_W[alive_W])[0]
    return loss_Q


def _of_queries(sample: Sample, loss_Q: np.ndarray) -> np.ndarray:
    """Mean of the losses of each distinct query: one query with fewer captions is no second opinion."""
    _, order_Q, count_D = np.unique(sample.number_Q, return_inverse=True, return_counts=True)
    mean_D: np.ndarray = np.bincount(order_Q, loss_Q) / count_D
    return mean_D


def _bootstrapped(sample: Sample, weight_W: np.ndarray, seed: int, prior_strength: float) -> np.ndarray:
    """Weights (B, W) of the channels in use, fitted on queries drawn with replacement."""
    rng = np.random.default_rng(seed)
    _, order_Q = np.unique(sample.number_Q, return_inverse=True)
    queries = int(order_Q.max()) + 1
    drawn = [rng.multinomial(queries, np.full(queries, 1 / queries))[order_Q] for _ in range(BOOTSTRAPS)]

    def fitted(drawn_Q: np.ndarray) -> np.ndarray:
        return _minimise(sample, weight_W > 0, weight_W, prior_strength, drawn_Q / drawn_Q.sum())

    return np.array(_side_by_side(fitted, drawn))


def _side_by_side(fit: Callable[[np.ndarray], np.ndarray], arguments: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The results for all arguments, several at a time: numpy computes without Python's lock."""
    import scipy.optimize  # noqa: F401  before the threads, so that its BLAS library is held to one thread too

    with one_blas_thread(), ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(fit, arguments))


def _without_excluded(standard_QCN: np.ndarray, excluded: Sequence[int]) -> np.ndarray:
    scores_QCN = np.array(standard_QCN, np.float32)
    for number, row in enumerate(excluded):
        if row >= 0:
            scores_QCN[number, :, row] = EXCLUDED
    return scores_QCN
