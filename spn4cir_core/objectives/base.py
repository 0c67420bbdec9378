"""The base class of training objectives, the batch that they read, and the list of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from spn4cir_core.engine.plugins import Plugin, Room
from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.similarity import similarities

if TYPE_CHECKING:
    from torch import Tensor

    from spn4cir_core.objectives.bank_shard import BankShard
    from spn4cir_core.reranking.base import Reranker

START_QUERIES, MEMORY = "start_queries", "memory"
JUDGED_ROWS, JUDGED_SCORES, SWAPPED_QUERIES = "judged_rows", "judged_scores", "swapped_queries"
EXPLICIT_ROWS, REWORDED_QUERIES = "explicit_rows", "reworded_queries"
COMPUTED_BY_THE_LOOP = frozenset(
    {START_QUERIES, MEMORY, JUDGED_ROWS, JUDGED_SCORES, SWAPPED_QUERIES, REWORDED_QUERIES, EXPLICIT_ROWS}
)
"""Outputs that the training loop itself computes for an objective that needs them."""

OBJECTIVES = Room(
    "objective",
    {
        "in_batch": "spn4cir_core.objectives.in_batch:InBatch",
        "bank": "spn4cir_core.objectives.bank:Bank",
        "nearest": "spn4cir_core.objectives.nearest:Nearest",
        "hinge": "spn4cir_core.objectives.hinge:Hinge",
        "hardness": "spn4cir_core.objectives.hardness:Hardness",
        "focal": "spn4cir_core.objectives.focal:Focal",
        "label_smoothing": "spn4cir_core.objectives.label_smoothing:LabelSmoothing",
        "sigmoid": "spn4cir_core.objectives.sigmoid:Sigmoid",
        "unime": "spn4cir_core.objectives.unime:UniME",
        "positive_margin": "spn4cir_core.objectives.positive_margin:PositiveMargin",
        "window": "spn4cir_core.objectives.window:Window",
        "guide": "spn4cir_core.objectives.guide:Guide",
        "soft_labels": "spn4cir_core.objectives.soft_labels:SoftLabels",
        "explicit_negatives": "spn4cir_core.objectives.explicit_negatives:ExplicitNegatives",
        "judged_labels": "spn4cir_core.objectives.judged_labels:JudgedLabels",
        "hard_mixing": "spn4cir_core.objectives.hard_mixing:HardMixing",
        "memory_queue": "spn4cir_core.objectives.memory_queue:MemoryQueue",
        "negative_types": "spn4cir_core.objectives.negative_types:NegativeTypes",
        "reference_negatives": "spn4cir_core.objectives.reference_negatives:ReferenceNegatives",
        "swapped_texts": "spn4cir_core.objectives.swapped_texts:SwappedTexts",
        "wording_consistency": "spn4cir_core.objectives.wording_consistency:WordingConsistency",
        "pull": "spn4cir_core.objectives.pull:Pull",
        "mixture": "spn4cir_core.objectives.mixture:Mixture",
        "target_guided": "spn4cir_core.objectives.target_guided:TargetGuided",
        "prompt_alignment": "spn4cir_core.objectives.prompt_alignment:PromptAlignment",
    },
)


@dataclass(frozen=True)
class Batch:
    """The inputs of an objective: B triplets of one step, D dimensions, N candidates."""

    queries_BD: Tensor
    """Unit vectors of the composed queries; carry gradients."""
    targets_BD: Tensor
    """Unit vectors of the targets; carry gradients in stage 1 (unless :attr:`Objective.target_momentum` is set), rows
    of the bank in stage 2."""
    reference_rows_B: Tensor
    """Row of each reference image in the candidate set."""
    target_rows_B: Tensor
    """Row of each target in the candidate set (equal rows are the same picture)."""
    text_numbers_B: Tensor
    """int64; equal numbers are equal texts."""
    weights_B: Tensor
    """Float weight of each triplet's loss; 1 unless the recipe weighs triplets."""
    bank_ND: Tensor | None
    """Frozen unit vectors of every candidate, (N, T, D) where one has T tokens; None in stage 1."""
    false_negatives_M2: Tensor
    """int64 pairs (position in the batch, candidate row) of known false negatives; never the target itself."""
    temperature: Tensor
    """() τ, above 0, that cosines are divided by; carries a gradient where it is learnt."""
    step: int
    """Number of the step, from 0."""
    compose: Callable[[Tensor, Tensor], Tensor]
    """``compose(references_M, texts_M)`` → (M, D) unit vectors, with gradients, of the queries that join the reference
    image at one position of the batch with the text at another. Each call is a pass of the query encoder."""
    outputs: Mapping[str, Tensor] = field(default_factory=dict)
    """(B, …) tensors that :attr:`Objective.needs` names: ``start_queries`` (the queries by the weights that the stage
    started from, without gradients); ``judged_rows`` (B, K) of the bank and ``judged_scores`` (B, 1 + K), the target's
    first, NaN where there is none; ``explicit_rows`` (B, K) int64 of the bank, images that people called wrong answers,
    -1 where a triplet has fewer; ``swapped_queries`` (B, D) of the texts with one word swapped, zero where a text has
    none, with gradients; ``reworded_queries`` (B, D) of another text of the triplet, zero where it has one alone, with
    gradients; and those of :meth:`Network.extra_outputs`, with gradients."""
    bank_shard: BankShard | None = None
    """The rows of the bank that this process holds, where the bank is spread over processes that all see the whole
    batch. Rows still count in the whole bank, and ``bank_ND`` is all of it, memory-mapped."""
    memory: dict[str, Tensor] = field(default_factory=dict)
    """An objective's own state (a queue, say), to read and to overwrite in place or by key. The loop hands the same
    dict to every step and keeps it with the resume state; what is put in must be detached."""

    def mean(self, losses_B: Tensor) -> Tensor:
        """() mean of the (B,) losses, weighted by ``weights_B``."""
        return (losses_B * self.weights_B).sum() / self.weights_B.sum()

    @cached_property
    def similarities_BB(self) -> Tensor:
        """(B, B) similarity of each query with each target of the batch; objectives of a mixture share it."""
        return similarities(self.queries_BD, self.targets_BD)

    @cached_property
    def excluded_in_batch_BB(self) -> Tensor:
        """(B, B) bool: targets (columns) that must not count as negatives of a query (row); the diagonal is False."""
        import torch

        is_excluded_BB = self.is_excluded(self.target_rows_B)
        return is_excluded_BB & ~torch.eye(len(is_excluded_BB), dtype=torch.bool, device=is_excluded_BB.device)

    def output(self, name: str) -> Tensor:
        """(B, …) output of that name.

        Raises:
            RecipeError: the batch has no such output. The training loop checks this before the first step.
        """
        if name not in self.outputs:
            raise RecipeError(
                f"an objective reads the output {name!r}, and the batch has "
                f"{', '.join(sorted(self.outputs)) or 'none'}; "
                "it must be named in the objective's needs and be given by the backbone's network"
            )
        return self.outputs[name]

    def is_excluded(self, rows_C: Tensor) -> Tensor:
        """(B, C) bool: whether a candidate row is a query's own target, or a known false negative of it."""
        import torch

        known_U, columns_C = torch.unique(rows_C, return_inverse=True)
        positions_M, candidates_M = (side.contiguous() for side in self.false_negatives_M2.unbind(1))
        indices_M = torch.searchsorted(known_U, candidates_M).clamp(max=len(known_U) - 1)
        is_known_M = known_U[indices_M] == candidates_M
        excluded_BU = self.target_rows_B[:, None] == known_U[None, :]
        excluded_BU[positions_M[is_known_M], indices_M[is_known_M]] = True
        excluded_BC: Tensor = excluded_BU[:, columns_C]
        return excluded_BC


class Objective(Plugin):
    """A loss: settings are fields; :meth:`loss` is called once per step."""

    @property
    def within(self) -> tuple[Objective, ...]:
        """The objectives that this one is made of; what they need, it needs."""
        return ()

    @property
    def needs(self) -> frozenset[str]:
        """Names of the outputs that :meth:`loss` reads besides vectors and rows; each costs time or memory.

        ``start_queries`` (a copy of the network, and one more pass of the query encoder), ``memory`` (it changes
        ``batch.memory`` and must be called once a step), ``judged_rows`` and ``judged_scores`` (by :attr:`rerankers`),
        ``explicit_rows``, ``swapped_queries`` and ``reworded_queries`` (one more pass of the query encoder each), or a
        name among :attr:`Network.output_names`.
        """
        return frozenset().union(*(objective.needs for objective in self.within))

    @property
    def only_regularises(self) -> bool:
        """Whether the loss knows no right answer, so that by itself it would let all queries become one vector."""
        return bool(self.within) and all(objective.only_regularises for objective in self.within)

    @property
    def rerankers(self) -> tuple[Reranker, ...]:
        """What scores each triplet's hardest candidates before stage 2, for an objective that needs it."""
        return tuple(reranker for objective in self.within for reranker in objective.rerankers)

    @property
    def target_momentum(self) -> float | None:
        """Momentum of the average of the network that embeds the targets in place of the network, without gradients
        (MoCo's key encoder); None: the network itself does.
        """
        momenta = (objective.target_momentum for objective in self.within)
        return next((momentum for momentum in momenta if momentum is not None), None)

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """() loss: the mean of the triplets' losses, weighted by ``batch.weights_B``; carries the gradients.

        Raises:
            RecipeError: the batch lacks an input that the objective needs, such as the bank in stage 1.
        """


def without_memory(objective: Objective) -> Objective:
    """An objective that can be called several times a step.

    Raises:
        RecipeError: it fills a queue.
    """
    if MEMORY in objective.needs:
        raise RecipeError(
            f"objective {objective.plugin_kind!r} fills a queue once a step; put it beside the other in a 'mixture' "
            "and not into it"
        )
    return objective
