"""What weights are fitted on: the hardest candidates of each validation query, and their likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

HARDEST = 200
"""Candidates of each query that the likelihood is computed over, beside its targets: the best of an even blend."""
EXCLUDED = -1e6
"""Score of the reference image in every channel, below any standard score."""


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
        """Of the queries ``rows_Q``, or all; other arguments as of :func:`.fit.fit_weights`."""
        rows_Q = np.arange(len(standard_QCN)) if rows_Q is None else rows_Q
        rows: list[int] = rows_Q.tolist()
        scores_QCN = without_excluded(standard_QCN[rows_Q], [excluded[row] for row in rows])
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

    def take(self, rows_Q: np.ndarray) -> Sample:
        """Some of the queries, by a mask."""
        return Sample(self.score_WQM[:, rows_Q], self.valid_QM[rows_Q], self.target_QT[rows_Q], self.number_Q[rows_Q])

    def of_weights(self, alive_W: np.ndarray) -> Sample:
        """Some of the weights, by a mask."""
        return self if alive_W.all() else replace(self, score_WQM=self.score_WQM[alive_W])

    def losses(self, weight_W: np.ndarray, share_QM: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Negative log-likelihood of each query, (Q,), and its gradient by the candidates' scores, (Q, M).

        Args:
            share_QM: memory for the gradient; None: new one, which costs as much as the arithmetic.
        """
        share_QM = np.empty(self.valid_QM.shape) if share_QM is None else share_QM
        np.dot(weight_W, self._score_WX, out=share_QM.reshape(-1))
        targets = self.target_QT.shape[1]
        right_share_QT = share_QM[:, :targets] + self.target_QT
        share_QM += self.valid_QM
        right_Q, all_Q = _softmax(right_share_QT), _softmax(share_QM)
        share_QM[:, :targets] -= right_share_QT
        return all_Q - right_Q, share_QM

    def loss(
        self, weight_W: np.ndarray, query_weight_Q: np.ndarray, slope_QM: np.ndarray | None = None
    ) -> tuple[float, np.ndarray]:
        """Weighted sum of the queries' losses, and its gradient by the weights, (W,); ``slope_QM``: memory for it."""
        loss_Q, slope_QM = self.losses(weight_W, slope_QM)
        slope_QM *= query_weight_Q[:, None]
        return float(query_weight_Q @ loss_Q), self._score_WX @ slope_QM.ravel()

    @property
    def _score_WX(self) -> np.ndarray:
        """(W, Q × M) scores, without a copy."""
        return self.score_WQM.reshape(len(self.score_WQM), self.valid_QM.size)


def _softmax(logit_QM: np.ndarray) -> np.ndarray:
    """Logarithm of the sum of exponentials (Q,); the shares (Q, M) replace the logits."""
    top_Q1 = logit_QM.max(1, keepdims=True)
    logit_QM -= top_Q1
    sum_Q1 = np.exp(logit_QM, out=logit_QM).sum(1, keepdims=True)
    logit_QM /= sum_Q1
    log_sum_Q: np.ndarray = (top_Q1 + np.log(sum_Q1))[:, 0]
    return log_sum_Q


def without_excluded(standard_QCN: np.ndarray, excluded: Sequence[int]) -> np.ndarray:
    """(Q, C, N) float32 scores, those of the reference image far below all others."""
    scores_QCN = np.array(standard_QCN, np.float32)
    for number, row in enumerate(excluded):
        if row >= 0:
            scores_QCN[number, :, row] = EXCLUDED
    return scores_QCN
