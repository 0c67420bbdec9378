"""Recall on held-out triplets of the validation split while training goes on; never on what is reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spn4cir_core.backbones.base import Network
from spn4cir_core.training.embed_candidates import embed_targets
from spn4cir_core.training.settings import ValidationSettings
from spn4cir_core.training.validation_queries import ValidationQueries

if TYPE_CHECKING:
    import torch

KS = (1, 5, 10)
RECALLS = tuple(f"validation_recall_at_{k}" for k in KS)
GAIN_AT_LEAST = "validation_gain_at_least"
"""Of the mean recall's gain over the start, the lower end of its 95 % interval; where ``beyond_chance`` asks for it."""
NORMAL = 1.96
"""97.5 % quantile of the normal distribution."""
QUERIES_AT_ONCE = 128


@dataclass(frozen=True)
class Validation:
    """The queries, and what the network reads of the gallery's images."""

    settings: ValidationSettings
    queries: ValidationQueries
    inputs: np.ndarray
    """(G, …) image inputs."""
    gallery_cache: dict[str, torch.Tensor] | None = None
    """Where the target encoder is frozen: holds the gallery's vectors once they have been embedded."""
    start_ranks: list[np.ndarray] = field(default_factory=list)
    """The (Q,) ranks by the weights that were validated first, which are those of the start, once they have been."""

    @property
    def measures(self) -> tuple[str, ...]:
        """What :meth:`recalls` gives."""
        return (*RECALLS, GAIN_AT_LEAST) if self.settings.beyond_chance else RECALLS

    def recalls(
        self, network: Network, device: torch.device, encoders: AbstractContextManager[Any]
    ) -> dict[str, float]:
        """Recall@k by the network as it is, which must be in eval mode on that device; with the least gain over the
        network of the first call where the settings ask for it.
        """
        ranks_Q = self.ranks(network, device, encoders)
        recalls = {name: float((ranks_Q < k).mean()) for name, k in zip(RECALLS, KS, strict=True)}
        if not self.settings.beyond_chance:
            return recalls
        if not self.start_ranks:
            self.start_ranks.append(ranks_Q)
        return recalls | {GAIN_AT_LEAST: gain_at_least(self.start_ranks[0], ranks_Q, self.queries.references)}

    def ranks(self, network: Network, device: torch.device, encoders: AbstractContextManager[Any]) -> np.ndarray:
        """(Q,) rank of each query's target, from 0."""
        import torch

        queries = self.queries
        ranks = []
        with torch.inference_mode(), encoders:
            gallery = self._gallery(network, device)
            tokens = network.tokenize(queries.texts)
            for start in range(0, len(queries.texts), QUERIES_AT_ONCE):
                rows = slice(start, start + QUERIES_AT_ONCE)
                images = torch.from_numpy(self.inputs[queries.references[rows]]).to(device)
                queries_QD = network.encode_query(images, tokens[rows].to(device)).float()
                ranks.append(ranks_of(queries_QD, gallery, queries.targets[rows], queries.excluded[rows]))
        return np.concatenate(ranks)

    def _gallery(self, network: Network, device: torch.device) -> torch.Tensor:
        import torch

        cache = self.gallery_cache if self.gallery_cache is not None else {}
        if "vectors" not in cache:
            cache["vectors"] = torch.from_numpy(embed_targets(network, self.inputs, str(device))).to(device)
        return cache["vectors"]

    def headline(self, metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """For the details of the checkpoint: recalls of the start (step 0), of the best and of the last validated step,
        and whether the weights it holds are those of the start (``weights``): the training did not help then.
        """
        lines = {"start": metrics[0], "best": better_of(metrics, self.settings.least_gain), "last": metrics[-1]}
        weights = lines["best"] if self.settings.keeps_best else lines["last"]
        return {
            "queries": len(self.queries.texts),
            "query_source": self.queries.source,
            "gallery": len(self.queries.gallery),
            "keep": self.settings.keep,
            "weights": "start" if weights is metrics[0] else "trained",
            **{f"{name}_step": line["step"] for name, line in lines.items() if line},
            **{name: {recall: line.get(recall) for recall in RECALLS} for name, line in lines.items() if line},
        }


def ranks_of(
    queries_QD: torch.Tensor, gallery: torch.Tensor, targets: np.ndarray, excluded: Sequence[np.ndarray]
) -> np.ndarray:
    """(Q,) rank of each target from 0; of the images that tie with it half stand before it, rounded up.

    Args:
        gallery: (G, D), or (G, T, D) where an image has T vectors.
        excluded: for each query the gallery rows that are not in its ranking.
    """
    import torch

    from spn4cir_core.objectives.similarity import similarities

    with torch.autocast(queries_QD.device.type, enabled=False):
        scores_QG = similarities(queries_QD, gallery)
    rows_Q = torch.arange(len(queries_QD), device=scores_QG.device)
    own_Q1 = scores_QG[rows_Q, torch.from_numpy(targets).to(scores_QG.device)][:, None]
    counts_Q = torch.tensor([len(rows) for rows in excluded], device=scores_QG.device)
    columns_M = torch.from_numpy(np.concatenate(excluded)).to(scores_QG.device)
    scores_QG[rows_Q.repeat_interleave(counts_Q), columns_M] = -torch.inf
    before_Q = (scores_QG > own_Q1).sum(dim=1)
    ties_Q = (scores_QG == own_Q1).sum(dim=1) - 1
    ranks: np.ndarray = (before_Q + (ties_Q + 1) // 2).cpu().numpy()
    return ranks


def score_of(line: Mapping[str, Any]) -> float | None:
    """The mean of the recalls of one line of the metrics: what ``keep = "best"`` compares; None: not validated."""
    recalls = [float(line[name]) for name in RECALLS if name in line]
    return sum(recalls) / len(recalls) if recalls else None


def gain_at_least(start_Q: np.ndarray, ranks_Q: np.ndarray, references_Q: np.ndarray) -> float:
    """Lower end of the 95 % interval of the gain in mean recall, paired by query.

    The variance is that of the mean over reference images, whose queries are not independent (Liang and Zeger 1986).

    Args:
        start_Q: (Q,) ranks from 0 before.
        ranks_Q: and after.
        references_Q: reference image of each query.
    """
    gain_Q = np.mean([(ranks_Q < k) - (start_Q < k).astype(float) for k in KS], axis=0)
    _, groups_Q = np.unique(references_Q, return_inverse=True)
    residuals_G = np.bincount(groups_Q, gain_Q - gain_Q.mean())
    variance = (residuals_G**2).sum() / len(gain_Q) ** 2 * len(residuals_G) / max(1, len(residuals_G) - 1)
    return float(gain_Q.mean() - NORMAL * variance**0.5)


def better_of(candidates: Sequence[Mapping[str, Any]], least_gain: float = 0.0) -> Mapping[str, Any] | None:
    """The validated candidate with the highest score, the earliest of equal ones; None where none was validated.

    The first candidate is the start of a stage (step 0), so that weights which did not help never replace it, nor
    those that gain less than ``least_gain``, nor those whose :data:`GAIN_AT_LEAST` is given and not above 0.
    """
    scored = [(score, line) for line in candidates if (score := score_of(line)) is not None]
    better = [
        (score, line)
        for score, line in scored[1:]
        if score >= scored[0][0] + least_gain and line.get(GAIN_AT_LEAST, 1.0) > 0
    ]
    best = max([*scored[:1], *better], key=lambda pair: pair[0], default=None)
    return best and best[1]


def out_of_patience(metrics: Sequence[Mapping[str, Any]], patience: int | None) -> bool:
    """Whether the last ``patience`` validations were all no higher than one before them."""
    scores = [score for line in metrics if (score := score_of(line)) is not None]
    return patience is not None and bool(scores) and len(scores) - 1 - scores.index(max(scores)) >= patience
