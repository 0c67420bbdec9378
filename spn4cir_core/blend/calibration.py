"""Channels on one scale: standard scores, with missing scores as average ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LARGEST = 100.0
"""Standard scores are clipped here, far above those of equal captions (about 15), so that nothing overflows."""


@dataclass(frozen=True)
class Calibration:
    """Mean and standard deviation of each of C channels over validation queries and candidates.

    They do not depend on the gallery that is searched, so that a picture's score needs no other picture's.
    """

    mean_C: np.ndarray
    deviation_C: np.ndarray

    @classmethod
    def of(cls, score_QCN: np.ndarray, as_it_is_C: np.ndarray | None = None) -> Calibration:
        """Measure; a channel that never varies or has no score gets the deviation 0, and counts for nothing.

        Args:
            as_it_is_C: which channels' scores are not to be changed; None: none.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            known = np.isfinite(score_QCN)
            count_C = np.maximum(1, known.sum((0, 2)))
            mean_C = np.where(known, score_QCN, 0).sum((0, 2), dtype=np.float64) / count_C
            spread_QCN = np.where(known, score_QCN - mean_C[None, :, None], 0)
            deviation_C = np.sqrt((spread_QCN**2).sum((0, 2), dtype=np.float64) / count_C)
        deviation_C = np.where(deviation_C > 1e-6, deviation_C, 0)
        if as_it_is_C is not None:
            mean_C, deviation_C = np.where(as_it_is_C, 0, mean_C), np.where(as_it_is_C, 1, deviation_C)
        return cls(mean_C.astype(np.float32), deviation_C.astype(np.float32))

    def apply(self, score_QCN: np.ndarray) -> np.ndarray:
        """Standard scores (Q, C, N) float32; 0 where a score is missing."""
        return np.stack([self.apply_to(channel, score_QCN[:, channel]) for channel in range(len(self.mean_C))], axis=1)

    def apply_to(self, channel: int, score_QN: np.ndarray) -> np.ndarray:
        """Standard scores (Q, N) of one channel."""
        if not self.deviation_C[channel]:
            return np.zeros(score_QN.shape, np.float32)
        standard_QN = (score_QN - self.mean_C[channel]) / self.deviation_C[channel]
        clipped_QN: np.ndarray = np.clip(standard_QN, -LARGEST, LARGEST).astype(np.float32, copy=False)
        clipped_QN[np.isnan(clipped_QN)] = 0
        return clipped_QN

    def as_table(self) -> dict[str, list[float]]:
        """The calibration as JSON values."""
        return {"mean": self.mean_C.tolist(), "deviation": self.deviation_C.tolist()}

    @classmethod
    def from_table(cls, table: dict[str, Sequence[float]]) -> Calibration:
        """The reverse of :meth:`as_table`."""
        return cls(np.array(table["mean"], np.float32), np.array(table["deviation"], np.float32))
