"""What every training objective is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spn4cir_core.plugins import Plugin, Room

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
        "prompt_alignment": "spn4cir_core.objectives.prompt_alignment:PromptAlignment",
    },
)


@dataclass(frozen=True)
class Batch:
    """What an objective may look at: B triplets of one step, D dimensions, N candidates."""

    queries_BD: Tensor
    """Unit vectors of the composed queries; carry gradients."""
    targets_BD: Tensor
    """Unit vectors of the targets; carry gradients in stage 1, rows of the bank in stage 2."""
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

    def mean(self, losses_B: Tensor) -> Tensor:
        """Scalar mean of the triplets' losses by their weights."""
        return (losses_B * self.weights_B).sum() / self.weights_B.sum()

    def not_negatives(self, rows_C: Tensor) -> Tensor:
        """(B, C) bool: whether a candidate row is a query's own target, or known to be no negative of it."""
        masked_BC = self.target_rows_B[:, None] == rows_C[None, :]
        positions_M, candidates_M = self.not_negative_rows.unbind(1)
        hits_H2 = (rows_C[None, :] == candidates_M[:, None]).nonzero()
        masked_BC[positions_M[hits_H2[:, 0]], hits_H2[:, 1]] = True
        return masked_BC


class Objective(Plugin):
    """A loss: settings are fields; :meth:`loss` is called once per step."""

    @property
    def uses_compose(self) -> bool:
        """Whether :meth:`loss` calls ``batch.compose``, which costs another pass of the query encoder."""
        return False

    @property
    def uses_start_queries(self) -> bool:
        """Whether :meth:`loss` reads ``batch.start_queries_BD``, which costs another pass of the query encoder."""
        return False

    @property
    def uses_prompt_views(self) -> bool:
        """Whether :meth:`loss` reads ``batch.text_queries_BD`` and ``batch.prompt_distances_B``."""
        return False

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Scalar loss, the weighted mean over the batch."""
