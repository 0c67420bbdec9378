"""A batch of a toy model whose queries are ``norm(reference + text)``, and losses written out the slow way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from spn4cir_core.objectives.base import Batch

TAU = 0.2
REFERENCES = [6, 1, 4, 6, 0]
TARGETS = [2, 5, 3, 5, 7]
TEXTS = [0, 1, 0, 2, 3]
FALSE_NEGATIVES = [(0, 3), (0, 4), (2, 2), (3, 2), (3, 8), (4, 1)]
CANDIDATES = 10


@dataclass(frozen=True)
class Example:
    """Leaves of the graph, and the facts of a batch that do not change with them."""

    references_BD: Tensor
    texts_BD: Tensor
    targets_BD: Tensor
    bank_ND: Tensor
    start_queries_BD: Tensor
    queue_QD: Tensor
    stage: int
    reference_rows: tuple[int, ...]
    target_rows: tuple[int, ...]
    text_numbers: tuple[int, ...]
    false_negatives: tuple[tuple[int, int], ...]
    queue_rows: tuple[int, ...]
    weights_B: Tensor

    def batch(self, **changes: Any) -> Batch:
        """In stage 1 targets have vectors of their own, in stage 2 they are rows of the bank."""
        at = [*range(len(self.target_rows))]
        targets = self.targets_BD if self.stage == 1 else self.bank_ND[list(self.target_rows)]
        made = Batch(
            queries_BD=self.compose(torch.tensor(at), torch.tensor(at)),
            targets_BD=targets,
            target_rows_B=torch.tensor(self.target_rows),
            weights_B=self.weights_B,
            bank_ND=None if self.stage == 1 else self.bank_ND,
            false_negatives_M2=torch.tensor(self.false_negatives, dtype=torch.int64).reshape(-1, 2),
            temperature=torch.tensor(TAU, dtype=torch.float64),
            step=3,
            memory={
                "memory_queue_vectors": self.queue_QD.detach().clone(),
                "memory_queue_rows": torch.tensor(self.queue_rows),
            },
            compose=self.compose,
            outputs=self.outputs(),
            reference_rows_B=torch.tensor(self.reference_rows),
            text_numbers_B=torch.tensor(self.text_numbers),
        )
        return replace(made, **changes)

    def outputs(self) -> dict[str, Tensor]:
        """Those of both backbones that have some; the starting queries in stage 2 alone."""
        network = {
            "prompt_text_queries": normalize(self.texts_BD, dim=-1),
            "prompt_distances": (self.references_BD - 0.3).square().mean(dim=1),
            "teacher_queries": normalize(self.references_BD + 2 * self.texts_BD, dim=-1),
            "teacher_terms": (self.references_BD[:, :3] + self.texts_BD[:, 3:6]).square(),
        }
        is_swapped_B = torch.tensor(self.text_numbers) != 1
        network["swapped_queries"] = normalize(self.references_BD - self.texts_BD, dim=-1) * is_swapped_B[:, None]
        network["reworded_queries"] = normalize(2 * self.references_BD + self.texts_BD, dim=-1) * is_swapped_B[:, None]
        if self.stage == 1:
            return network
        return {**network, "start_queries": self.start_queries_BD, **self.judged(), **self.explicit()}

    def judged(self) -> dict[str, Tensor]:
        """Three candidates that may be negatives of each triplet; the second, and the third target, have no score."""
        rows_BK, scores_BL = [], []
        for position, target in enumerate(self.target_rows):
            free = [row for row in range(CANDIDATES) if row != target and (position, row) not in self.false_negatives]
            rows_BK.append([*free, 0, 0, 0][:3])
            scores = [0.3 * np.sin(row + target) ** 2 if row in free else np.nan for row in rows_BK[-1]]
            scores_BL.append([np.nan if target == TARGETS[2] else 0.9, scores[0], np.nan, scores[2]])
        return {"judged_rows": torch.tensor(rows_BK), "judged_scores": torch.tensor(scores_BL)}

    def explicit(self) -> dict[str, Tensor]:
        """Two candidates that may be negatives of each triplet, of the second triplet none."""
        rows_BK = []
        for position, target in enumerate(self.target_rows):
            free = [row for row in range(CANDIDATES) if row != target and (position, row) not in self.false_negatives]
            rows_BK.append([-1, -1] if target == TARGETS[1] else [*free[2:], -1, -1][:2])
        return {"explicit_rows": torch.tensor(rows_BK)}

    def compose(self, references_M: Tensor, texts_M: Tensor) -> Tensor:
        return normalize(self.references_BD[references_M] + self.texts_BD[texts_M], dim=-1)

    def weighing(self, weights: list[float]) -> Example:
        return replace(self, weights_B=torch.tensor(weights, dtype=torch.float64))

    def permuted(self, order: list[int]) -> Example:
        """The same triplets in another order."""
        position = {old: new for new, old in enumerate(order)}
        return replace(
            self,
            **{
                name: getattr(self, name)[order]
                for name in ("references_BD", "texts_BD", "targets_BD", "start_queries_BD", "weights_B")
            },
            **{
                name: tuple(getattr(self, name)[old] for old in order)
                for name in ("reference_rows", "target_rows", "text_numbers")
            },
            false_negatives=tuple((position[old], row) for old, row in self.false_negatives),
        )


def example(stage: int, triplets: int = 5, seed: int = 0, dim: int = 12) -> Example:
    """Five triplets, some of whose targets are equal, guarded or in the queue; fewer are the first of them."""
    generator = torch.Generator().manual_seed(seed)

    def vectors(rows: int) -> Tensor:
        return torch.randn(rows, dim, generator=generator, dtype=torch.float64)

    bank_ND = normalize(vectors(CANDIDATES), dim=-1)
    targets_BD = normalize(bank_ND[TARGETS] + 0.1 * vectors(len(TARGETS)), dim=-1)
    # Queries lie somewhat nearer to their targets than to anything else, as those of a trained model do.
    references_BD, texts_BD = vectors(5) / 2, bank_ND[TARGETS] + vectors(5) / 2
    return Example(
        references_BD=references_BD[:triplets],
        texts_BD=texts_BD[:triplets],
        targets_BD=targets_BD[:triplets],
        bank_ND=bank_ND,
        start_queries_BD=normalize(bank_ND[TARGETS] + vectors(5) / 3, dim=-1)[:triplets],
        queue_QD=normalize(vectors(4), dim=-1),
        stage=stage,
        reference_rows=tuple(REFERENCES[:triplets]),
        target_rows=tuple(TARGETS[:triplets]),
        text_numbers=tuple(TEXTS[:triplets]),
        false_negatives=tuple(pair for pair in FALSE_NEGATIVES if pair[0] < triplets),
        queue_rows=(2, 3, 4, 9),
        weights_B=torch.tensor([1.0, 2.0, 0.5, 1.5, 1.0][:triplets], dtype=torch.float64),
    )


@dataclass(frozen=True)
class Slow:
    """Scores of one query as plain numbers."""

    position: int
    positive: float
    negatives: dict[int, float]
    """Score by position in the batch (stage 1) or by row of the bank (stage 2), of what is a negative."""


def slow_scores(batch: Batch) -> list[Slow]:
    """Scores of every query, by the definition of a negative: not the target, and not known to answer the query."""
    queries, rows = batch.queries_BD.detach().numpy(), batch.target_rows_B.tolist()
    guarded = {tuple(pair) for pair in batch.false_negatives_M2.tolist()}
    pool = batch.targets_BD if batch.bank_ND is None else batch.bank_ND
    numbers = rows if batch.bank_ND is None else [*range(len(pool))]
    result = []
    for position, query in enumerate(queries):
        negatives = {
            column: float(np.dot(query, pool[column].detach().numpy()))
            for column, row in enumerate(numbers)
            if row != rows[position] and (position, row) not in guarded
        }
        result.append(Slow(position, float(np.dot(query, batch.targets_BD[position].detach().numpy())), negatives))
    return result


def slow_info_nce(positive: float, negatives: list[float], tau: float = TAU) -> float:
    """−log of the target's share."""
    mass = np.exp(positive / tau) + sum(np.exp(score / tau) for score in negatives)
    return float(-np.log(np.exp(positive / tau) / mass))


def weighted(batch: Batch, losses: list[float]) -> float:
    """Mean of the losses by the triplets' weights."""
    return float(np.average(losses, weights=batch.weights_B.numpy()))
