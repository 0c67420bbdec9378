"""From the triplets of a step to the batch that an objective sees."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from spn4cir_core.backbones.base import Network
from spn4cir_core.objectives.base import Batch
from spn4cir_core.training.bank_placement import place_bank
from spn4cir_core.training.checkpoints import as_module
from spn4cir_core.training.gradient_cache import Encode, GradientCache
from spn4cir_core.training.momentum_targets import MomentumTargets
from spn4cir_core.training.optimisers import Precision
from spn4cir_core.training.training import Training
from spn4cir_core.training.triplet_batches import TripletBatch

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from spn4cir_core.objectives.bank_shard import BankShard


class StepBatches:
    """Makes batches for one training; made while its network still has the starting weights.

    Attributes:
        memory: the objective's own state, the same dict in every batch.
        momentum: the average of the network that embeds the targets, where the objective asks for one.
    """

    def __init__(self, training: Training, device: torch.device, precision: Precision) -> None:

        self.training, self.device, self.precision = training, device, precision
        self.network, self.start = training.network, None
        if training.objective.uses_start_queries:
            self.start = copy.deepcopy(training.network)
            as_module(self.start).eval().requires_grad_(False)
        share = training.objective.target_momentum
        self.momentum = None if share is None else MomentumTargets(training.network, share)
        self.memory: dict[str, Tensor] = {}
        self.bank: Tensor | None = None
        self.shard: BankShard | None = None
        if training.bank_ND is not None:
            self.use_bank(training.bank_ND)

    def use_bank(self, bank_ND: np.ndarray) -> None:
        """Take these candidate vectors from now on."""
        import torch

        self.bank, self.shard = place_bank(torch.from_numpy(bank_ND), self.device, self.training.processes)

    def of(self, triplets: TripletBatch, step: int, cache: GradientCache, temperature: Tensor) -> Batch:
        """The batch of these triplets; ``cache`` embeds them and takes the gradient further."""
        import torch

        objective, device = self.training.objective, self.device
        tokens_BL = self.network.tokenize(triplets.texts)
        everything = np.arange(len(triplets.texts))
        queries_BD = cache.vectors(self._queries(self.network, triplets, tokens_BL, everything, everything))
        starting = None
        if self.start is not None:
            starting = cache.constants(self._queries(self.start, triplets, tokens_BL, everything, everything))

        def compose(references_M: Tensor, texts_M: Tensor) -> Tensor:
            if not len(references_M):
                return queries_BD.new_zeros(0, queries_BD.shape[1])
            places = references_M.cpu().numpy(), texts_M.cpu().numpy()
            return cache.vectors(self._queries(self.network, triplets, tokens_BL, *places))

        text_queries_BD, prompt_distances_B = None, None
        if objective.uses_prompt_views:
            views = cache.vectors(self._prompt_views(triplets, tokens_BL))
            text_queries_BD, prompt_distances_B = views[:, :-1], views[:, -1]
        teacher_queries_BD, teacher_terms_B3 = None, None
        if objective.uses_teacher_views:
            views = cache.vectors(self._teacher_views(triplets, tokens_BL))
            teacher_queries_BD, teacher_terms_B3 = views[:, :-3], views[:, -3:]
        numbers = {text: number for number, text in enumerate(dict.fromkeys(triplets.texts))}
        return Batch(
            queries_BD=queries_BD,
            targets_BD=self._targets(triplets, cache, queries_BD),
            target_rows_B=torch.from_numpy(triplets.targets_B).to(device),
            weights_B=torch.from_numpy(triplets.weights_B).to(device),
            bank_ND=self.bank,
            not_negative_rows=torch.from_numpy(self.training.not_negatives.pairs(triplets.triplets_B)).to(device),
            temperature=temperature,
            step=step,
            bank_shard=self.shard,
            memory=self.memory,
            compose=compose if objective.uses_compose else None,
            start_queries_BD=starting,
            reference_rows_B=torch.from_numpy(triplets.references_B).to(device),
            text_numbers_B=torch.tensor([numbers[text] for text in triplets.texts], device=device),
            text_queries_BD=text_queries_BD,
            prompt_distances_B=prompt_distances_B,
            teacher_queries_BD=teacher_queries_BD,
            teacher_terms_B3=teacher_terms_B3,
        )

    def _targets(self, triplets: TripletBatch, cache: GradientCache, like: Tensor) -> Tensor:
        import torch

        if self.bank is not None:
            return self.bank[torch.from_numpy(triplets.targets_B)].to(self.device, like.dtype)

        network = self.network if self.momentum is None else self.momentum.network

        def encode(positions: range) -> Tensor:
            with self.precision.encoders():
                return _at_least_float32(network.encode_target(self._inputs(triplets.targets_B[positions])))

        targets = Encode(len(triplets.texts), encode)
        return cache.vectors(targets) if self.momentum is None else cache.constants(targets)

    def _queries(
        self, network: Network, triplets: TripletBatch, tokens_BL: Tensor, references_M: np.ndarray, texts_M: np.ndarray
    ) -> Encode:
        """Queries of the images at some positions of the batch joined with the texts at others."""

        def encode(positions: range) -> Tensor:
            images = self._inputs(triplets.references_B[references_M[positions]])
            with self.precision.encoders():
                return _at_least_float32(network.encode_query(images, tokens_BL[texts_M[positions]].to(self.device)))

        return Encode(len(references_M), encode)

    def _prompt_views(self, triplets: TripletBatch, tokens_BL: Tensor) -> Encode:
        """Text vectors and, in the last column, distances of prompts: one tensor, so that it can be cached."""
        import torch

        def encode(positions: range) -> Tensor:
            images, tokens = self._inputs(triplets.references_B[positions]), tokens_BL[positions].to(self.device)
            with self.precision.encoders():
                texts_BD, distances_B = self.network.prompt_views(images, tokens)
            return torch.cat([texts_BD.float(), distances_B.float()[:, None]], dim=1)

        return Encode(len(triplets.texts), encode)

    def _teacher_views(self, triplets: TripletBatch, tokens_BL: Tensor) -> Encode:
        """The teacher's queries and, in the last three columns, its terms."""
        import torch

        def encode(positions: range) -> Tensor:
            references = self._inputs(triplets.references_B[positions])
            targets, tokens = self._inputs(triplets.targets_B[positions]), tokens_BL[positions].to(self.device)
            with self.precision.encoders():
                queries_BD, terms_B3 = self.network.teacher_views(references, tokens, targets)
            return torch.cat([queries_BD.float(), terms_B3.float()], dim=1)

        return Encode(len(triplets.texts), encode)

    def _inputs(self, rows: np.ndarray) -> Tensor:
        import torch

        return torch.from_numpy(self.training.inputs[rows]).to(self.device)


def _at_least_float32(vectors: Tensor) -> Tensor:
    return vectors.float() if vectors.element_size() < 4 else vectors
