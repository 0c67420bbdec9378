"""Weights of the blend: non-negative, fitted on validation queries, zero for a channel that does not help."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from spn4cir_core.blend.sample import Sample, without_excluded
from spn4cir_core.blend.ties import best_tie_break, with_tie_break
from spn4cir_core.engine.blas_threads import one_blas_thread

Result = TypeVar("Result")
PRIOR_STRENGTHS = (1.0, 0.1, 0.01, 0.001)
"""Strengths of the pull to equal weights, which keeps near-equal channels from trading weight at random. The one
that queries outside the fit like best is taken."""
START = 0.3
"""Weight of every channel before a fit."""
SMALLEST = 0.01
"""Weight of a channel that is served alone, at the least: its scores count, however little they say."""
FINELY, ROUGHLY = 2e-9, 1e-5
"""Where a fit ends, as a share of the loss: one that is served, and one that others are compared with."""
TRIED_FIRST = 3
"""Channels of which the one that helps least is first looked for."""
BOOTSTRAPS = 100
MOST_THREADS = 8
FEW_QUERIES = 20
"""With fewer queries no channel is left out: that it does not help them is chance, and it may be the one that reads the
text."""


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
    scores_QCN = without_excluded(standard_QCN, excluded)
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


def _minimise(
    sample: Sample,
    alive_W: np.ndarray,
    start_W: np.ndarray,
    prior_strength: float,
    query_weight_Q: np.ndarray,
    tolerance: float = FINELY,
) -> np.ndarray:
    """Non-negative weights of least loss, by L-BFGS-B; ``query_weight_Q`` sums to 1.

    The prior pulls the weights of channels in use to their common mean: (λ / 2) Σ (w − mean w)², and weakly to 0.

    Args:
        tolerance: share of the loss that a step has to gain, or it is the last.
    """
    from scipy.optimize import minimize

    part = sample.of_weights(alive_W)
    memory_QM = np.empty(part.valid_QM.shape)

    def loss(weight_A: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient_A = part.loss(weight_A, query_weight_Q, memory_QM)
        apart_A = weight_A - weight_A.mean()
        small_A = 1e-3 * weight_A
        value += prior_strength / 2 * apart_A @ apart_A + 0.5 * small_A @ weight_A
        return float(value), gradient_A + prior_strength * apart_A + small_A

    weight_W = np.zeros(len(alive_W))
    if alive_W.any():
        bounds = [(0.0, None)] * int(alive_W.sum())
        with one_blas_thread():
            weight_W[alive_W] = minimize(
                *(loss, start_W[alive_W]), jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": tolerance}
            ).x
    return weight_W


def _fitted(sample: Sample, prior_strengths: Sequence[float]) -> tuple[np.ndarray, float]:
    """Weights (W,), those of channels that do not help 0, and the strength of the prior that they are fitted with."""
    alive_W = np.abs(np.where(np.isinf(sample.valid_QM), 0, sample.score_WQM)).max((1, 2)) > 0
    if len(np.unique(sample.number_Q)) < FEW_QUERIES:
        prior_strength = max(prior_strengths)
    else:
        halves = _halves(sample)
        prior_strength, held_out = _best_prior(halves, alive_W, prior_strengths)
        alive_W = _helpful(halves, alive_W, prior_strength, held_out)
    return _evenly(sample, alive_W, prior_strength), prior_strength


def _evenly(sample: Sample, alive_W: np.ndarray, prior_strength: float) -> np.ndarray:
    """Weights (W,) of the channels in use, every query counting alike."""
    return _minimise(sample, alive_W, np.full(len(alive_W), START), prior_strength, _even(sample))


def _even(sample: Sample) -> np.ndarray:
    """(Q,) equal weights of the queries, of sum 1."""
    return np.full(len(sample.number_Q), 1 / len(sample.number_Q))


class _HeldOut(NamedTuple):
    """Weights fitted on one half of the queries, and on the other (2, W); loss (Q,) of the queries of either half under
    those that were fitted on the other."""

    loss_Q: np.ndarray
    weight_HW: np.ndarray


def _halves(sample: Sample) -> tuple[Sample, Sample]:
    """Every other distinct query, with all that it has, and the rest."""
    _, order_Q = np.unique(sample.number_Q, return_inverse=True)
    return sample.take(order_Q % 2 == 0), sample.take(order_Q % 2 == 1)


def _best_prior(
    halves: tuple[Sample, Sample], alive_W: np.ndarray, strengths: Sequence[float]
) -> tuple[float, _HeldOut]:
    """The strength of least loss on queries outside the fit, the first of equal ones, and that fit."""
    start_HW = np.full((2, len(alive_W)), START)
    fits: list[tuple[float, _HeldOut]] = []
    for strength in strengths:
        fits.append((strength, _held_out(halves, strength, start_HW, alive_W)))
        start_HW = fits[-1][1].weight_HW
    return min(fits, key=lambda fit: fit[1].loss_Q.mean())


def _helpful(
    halves: tuple[Sample, Sample], alive_W: np.ndarray, prior_strength: float, all_of_them: _HeldOut
) -> np.ndarray:
    """(W,) bool: what stays when channels go one by one while queries outside the fit do hardly worse without.

    Those that both fits leave at 0 go at once: nothing but the prior's mean knows that they are there.
    """
    now = all_of_them
    while alive_W.sum() > 1:
        used_W = alive_W & now.weight_HW.any(0)
        if used_W.any() and (used_W != alive_W).any():
            alive_W, now = used_W, _held_out(halves, prior_strength, now.weight_HW, used_W)
            continue
        fewer = _without_one(halves, alive_W, prior_strength, now)
        if fewer is None:
            break
        alive_W, now = fewer
    return alive_W


def _without_one(
    halves: tuple[Sample, Sample], alive_W: np.ndarray, prior_strength: float, now: _HeldOut
) -> tuple[np.ndarray, _HeldOut] | None:
    """The channels without the one that helps least, and their fit; None where queries outside the fit need them all.

    The few whose weight would be missed least if the others stayed as they are are fitted without first, and the others
    only where none of those can go.
    """
    channels = np.flatnonzero(alive_W)
    missed = [_losses(halves, now.weight_HW * (np.arange(len(alive_W)) != channel)).mean() for channel in channels]
    order = channels[np.argsort(missed, kind="stable")].tolist()
    number_Q = np.concatenate([half.number_Q for half in halves])
    for tried in filter(len, (order[:TRIED_FIRST], order[TRIED_FIRST:])):
        fewer = [alive_W & (np.arange(len(alive_W)) != channel) for channel in tried]
        without = _side_by_side(partial(_held_out, halves, prior_strength, now.weight_HW), fewer)
        best = int(np.argmin([one.loss_Q.mean() for one in without]))
        worse_Q = _of_queries(number_Q, without[best].loss_Q - now.loss_Q)
        if worse_Q.mean() <= worse_Q.std() / len(worse_Q) ** 0.5:
            return fewer[best], without[best]
    return None


def _held_out(
    halves: tuple[Sample, Sample], prior_strength: float, start_HW: np.ndarray, alive_W: np.ndarray
) -> _HeldOut:
    """Fit each half of the queries, from weights near the best ones, and try it on the other."""
    weight_HW = np.array(
        [
            _minimise(half, alive_W, start_W, prior_strength, _even(half), ROUGHLY)
            for half, start_W in zip(halves, start_HW, strict=True)
        ]
    )
    return _HeldOut(_losses(halves, weight_HW), weight_HW)


def _losses(halves: tuple[Sample, Sample], weight_HW: np.ndarray) -> np.ndarray:
    """(Q,) loss of the queries of either half under the weights of the other."""
    of_halves = zip(halves, weight_HW[::-1] > 0, weight_HW[::-1], strict=True)
    return np.concatenate([half.of_weights(used_W).losses(weight_W[used_W])[0] for half, used_W, weight_W in of_halves])


def _of_queries(number_Q: np.ndarray, loss_Q: np.ndarray) -> np.ndarray:
    """Mean of the losses of each distinct query: one query with fewer captions is no second opinion."""
    _, order_Q, count_D = np.unique(number_Q, return_inverse=True, return_counts=True)
    mean_D: np.ndarray = np.bincount(order_Q, loss_Q) / count_D
    return mean_D


def _bootstrapped(sample: Sample, weight_W: np.ndarray, seed: int, prior_strength: float) -> np.ndarray:
    """Weights (B, W) of the channels in use, fitted on queries drawn with replacement."""
    rng = np.random.default_rng(seed)
    _, order_Q = np.unique(sample.number_Q, return_inverse=True)
    queries = int(order_Q.max()) + 1
    drawn = [rng.multinomial(queries, np.full(queries, 1 / queries))[order_Q] for _ in range(BOOTSTRAPS)]
    is_used_W = weight_W > 0
    used = sample.of_weights(is_used_W)

    def fitted(drawn_Q: np.ndarray) -> np.ndarray:
        own, count_Q = used.take(drawn_Q > 0), drawn_Q[drawn_Q > 0]
        all_W = np.ones(len(own.score_WQM), bool)
        return _minimise(own, all_W, weight_W[is_used_W], prior_strength, count_Q / count_Q.sum(), ROUGHLY)

    weight_BW = np.zeros((BOOTSTRAPS, len(weight_W)))
    weight_BW[:, is_used_W] = _side_by_side(fitted, drawn)
    return weight_BW


def _side_by_side(fit: Callable[[np.ndarray], Result], arguments: Sequence[np.ndarray]) -> list[Result]:
    """The results for all arguments, several at a time: numpy computes without Python's lock."""
    import scipy.optimize  # noqa: F401  before the threads, so that its BLAS library is held to one thread too

    with one_blas_thread(), ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(fit, arguments))
