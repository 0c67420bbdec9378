"""What every training objective is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spn4cir_core.engine.plugins import Plugin, Room
from spn4cir_core.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor

    from spn4cir_core.objectives.bank_shard import BankShard

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
        "hard_mixing": "spn4cir_core.objectives.hard_mixing:HardMixing",
        "memory_queue": "spn4cir_core.objectives.memory_queue:MemoryQueue",
        "negative_types": "spn4cir_core.objectives.negative_types:NegativeTypes",
        "reference_negatives": "spn4cir_core.objectives.reference_negatives:ReferenceNegatives",
        "pull": "spn4cir_core.objectives.pull:Pull",
        "mixture": "spn4cir_core.objectives.mixture:Mixture",
        "target_guided": "spn4cir_core.objectives.target_guided:TargetGuided",
        "prompt_alignment": "spn4cir_core.objectives.prompt_alignment:PromptAlignment",
    },
)


@dataclass(frozen=True)
class Batch:
    """What an objective may look at: B triplets of one step, D dimensions, N candidates."""

    queries_BD: Tensor
    """Unit vectors of the composed queries; carry gradients."""
    targets_BD: Tensor
    """Unit vectors of the targets; carry gradients in stage 1 (unless :attr:`Objective.target_momentum` is set), rows
    of the bank in stage 2."""
    target_rows_B: Tensor
    """Row of each target in the candidate set (equal rows are the same picture)."""
    weights_B: Tensor
    bank_ND: Tensor | None
    """Frozen unit vectors of every candidate, (N, T, D) where one has T tokens; None in stage 1."""
    not_negative_rows: Tensor
    """(M, 2) int64 pairs (position in the batch, candidate row) that are no negatives; never the target itself."""
    temperature: Tensor
    step: int
    bank_shard: BankShard | None = None
    """The rows of the bank that this process holds, where the bank is spread over processes that all see the whole
    batch. Rows still count in the whole bank, and ``bank_ND`` is all of it, memory-mapped."""
    memory: dict[str, Tensor] = field(default_factory=dict)
    """An objective's own state (a queue, say), to read and to overwrite in place or by key. The loop hands the same
    dict to every step and keeps it with the resume state; what is put in must be detached."""
    compose: Callable[[Tensor, Tensor], Tensor] | None = None
    """``compose(references_M, texts_M)`` → (M, D) unit vectors, with gradients, of the queries that join the reference
    image at one position of the batch with the text at another. Given where :attr:`Objective.uses_compose` asks."""
    start_queries_BD: Tensor | None = None
    """The same queries by the weights the stage started from; no gradients. Given where
    :attr:`Objective.uses_start_queries` asks."""
    reference_rows_B: Tensor | None = None
    """Row of each reference in the candidate set; given with :attr:`compose`."""
    text_numbers_B: Tensor | None = None
    """int64; equal numbers are equal texts; given with :attr:`compose`."""
    text_queries_BD: Tensor | None = None
    """Unit vectors of the texts read with learnt prompts in place of a reference; carry gradients. Given where
    :attr:`Objective.uses_prompt_views` asks."""
    prompt_distances_B: Tensor | None = None
    """Mean squared distance of each query's prompts from the learnt ones; carry gradients. Given with
    :attr:`text_queries_BD`."""
    teacher_queries_BD: Tensor | None = None
    """Unit vectors of the queries that a teacher composes, which sees the target; carry gradients. Given where
    :attr:`Objective.uses_teacher_views` asks."""
    teacher_terms_B3: Tensor | None = None
    """How far each triplet is from: shares of the teacher that sum to one, orthogonal tokens, the student's share being
    the teacher's; carry gradients. Given with :attr:`teacher_queries_BD`."""

    def mean(self, losses_B: Tensor) -> Tensor:
        """Scalar mean of the triplets' losses by their weights."""
        return (losses_B * self.weights_B).sum() / self.weights_B.sum()

    def not_negatives(self, rows_C: Tensor) -> Tensor:
        """(B, C) bool: whether a candidate row is a query's own target, or known to be no negative of it."""
        import torch

        known_U, columns_C = torch.unique(rows_C, return_inverse=True)
        positions_M, candidates_M = (side.contiguous() for side in self.not_negative_rows.unbind(1))
        places_M = torch.searchsorted(known_U, candidates_M).clamp(max=len(known_U) - 1)
        found_M = known_U[places_M] == candidates_M
        masked_BU = self.target_rows_B[:, None] == known_U[None, :]
        masked_BU[positions_M[found_M], places_M[found_M]] = True
        masked_BC: Tensor = masked_BU[:, columns_C]
        return masked_BC


class Objective(Plugin):
    """A loss: settings are fields; :meth:`loss` is called once per step."""

    @property
    def within(self) -> tuple[Objective, ...]:
        """The objectives that this one is made of; what they ask for, it asks for."""
        return ()

    @property
    def uses_compose(self) -> bool:
        """Whether :meth:`loss` calls ``batch.compose``, which costs another pass of the query encoder."""
        return any(objective.uses_compose for objective in self.within)

    @property
    def uses_start_queries(self) -> bool:
        """Whether :meth:`loss` reads ``batch.start_queries_BD``, which costs another pass of the query encoder."""
        return any(objective.uses_start_queries for objective in self.within)

    @property
    def uses_prompt_views(self) -> bool:
        """Whether :meth:`loss` reads ``batch.text_queries_BD`` and ``batch.prompt_distances_B``."""
        return any(objective.uses_prompt_views for objective in self.within)

    @property
    def uses_teacher_views(self) -> bool:
        """Whether :meth:`loss` reads ``batch.teacher_queries_BD`` and ``batch.teacher_terms_B3``."""
        return any(objective.uses_teacher_views for objective in self.within)

    @property
    def uses_memory(self) -> bool:
        """Whether :meth:`loss` changes ``batch.memory``; it must then be called once a step."""
        return any(objective.uses_memory for objective in self.within)

    @property
    def target_momentum(self) -> float | None:
        """Momentum of the average of the network that embeds the targets in place of the network, without gradients
        (MoCo's key encoder); None: the network itself does.
        """
        asked = [objective.target_momentum for objective in self.within]
        return next((momentum for momentum in asked if momentum is not None), None)

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Scalar loss, the weighted mean over the batch."""


def without_memory(objective: Objective) -> Objective:
    """An objective that can be called several times a step.

    Raises:
        RecipeError: it fills a queue.
    """
    if objective.uses_memory:
        raise RecipeError(
            f"objective {objective.plugin_kind!r} fills a queue once a step; put it beside the other in a 'mixture' "
            "and not into it"
        )
    return objective
