"""Makes the batch that an objective reads from the triplets of a step."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spn4cir_core.backbones.base import Network
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.base import (
    COMPUTED_BY_THE_LOOP,
    EXPLICIT_ROWS,
    JUDGED_ROWS,
    JUDGED_SCORES,
    REWORDED_QUERIES,
    START_QUERIES,
    SWAPPED_QUERIES,
    Batch,
)
from spn4cir_core.training.checkpoints import as_module
from spn4cir_core.training.gradient_cache import Encode, GradientCache
from spn4cir_core.training.momentum_targets import MomentumTargets
from spn4cir_core.training.optimisers import Precision
from spn4cir_core.training.training import Training
from spn4cir_core.training.triplet_batches import TripletBatch, random_of

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
        self.inputs = np.asarray(training.inputs)  # rows of a memory map come as plain arrays, and sooner
        self.output_names = needed_outputs(training)
        if START_QUERIES in training.objective.needs:
            self.start = copy.deepcopy(training.network)
            as_module(self.start).eval().requires_grad_(False)
        share = training.objective.target_momentum
        self.momentum = None if share is None else MomentumTargets(training.network, share)
        self.memory: dict[str, Tensor] = {}
        self.bank: Tensor | None = None
        self.shard: BankShard | None = None
        if training.bank is not None:
            self.use_bank(training.bank.vectors_ND)

    def use_bank(self, bank_ND: np.ndarray) -> None:
        """Take these candidate vectors from now on."""
        import torch

        self.bank, self.shard = bank_on_device(torch.from_numpy(bank_ND), self.device, self.training.processes)

    def of(self, triplets: TripletBatch, step: int, cache: GradientCache, temperature: Tensor) -> Batch:
        """The batch of these triplets; ``cache`` embeds them and takes the gradient further."""
        import torch

        device = self.device
        everything = np.arange(len(triplets.texts))
        reworded = self._reworded(triplets, step)
        tokens_ML = self.network.tokenize([*triplets.texts, *reworded.values()])
        tokens_BL, positions_M = tokens_ML[: len(everything)], np.array([*everything, *reworded])
        queries_MD = cache.vectors(
            self._queries(self.network, triplets, tokens_ML, positions_M, np.arange(len(positions_M)))
        )
        queries_BD = queries_MD[: len(everything)]
        outputs: dict[str, Tensor] = {}
        if self.start is not None:
            starting = self._queries(self.start, triplets, tokens_BL, everything, everything)
            outputs[START_QUERIES] = cache.constants(starting)

        def compose(references_M: Tensor, texts_M: Tensor) -> Tensor:
            if not len(references_M):
                return queries_BD.new_zeros(0, queries_BD.shape[1])
            positions = references_M.cpu().numpy(), texts_M.cpu().numpy()
            return cache.vectors(self._queries(self.network, triplets, tokens_BL, *positions))

        if SWAPPED_QUERIES in self.training.objective.needs:
            outputs[SWAPPED_QUERIES] = self._swapped_queries(triplets, step, cache, queries_BD)
        if REWORDED_QUERIES in self.training.objective.needs:
            outputs[REWORDED_QUERIES] = self._at(reworded, queries_MD[len(everything) :], queries_BD)
        outputs |= self._judged(triplets) | self._extra_outputs(triplets, tokens_BL, cache)
        numbers = {text: number for number, text in enumerate(dict.fromkeys(triplets.texts))}
        return Batch(
            queries_BD=queries_BD,
            targets_BD=self._targets(triplets, cache, queries_BD),
            reference_rows_B=torch.from_numpy(triplets.references_B).to(device),
            text_numbers_B=torch.tensor([numbers[text] for text in triplets.texts], device=device),
            compose=compose,
            outputs=outputs,
            target_rows_B=torch.from_numpy(triplets.targets_B).to(device),
            weights_B=torch.from_numpy(triplets.weights_B).to(device),
            bank_ND=self.bank,
            false_negatives_M2=torch.from_numpy(self.training.false_negatives.pairs(triplets.triplets_B)).to(device),
            temperature=temperature,
            step=step,
            bank_shard=self.shard,
            memory=self.memory,
        )

    def _judged(self, triplets: TripletBatch) -> dict[str, Tensor]:
        import torch

        judged, explicit_rows_TK = self.training.judged, self.training.explicit_rows_TK
        rows = {} if judged is None else {JUDGED_ROWS: judged.rows_TK, JUDGED_SCORES: judged.scores_TL}
        rows |= {} if explicit_rows_TK is None else {EXPLICIT_ROWS: explicit_rows_TK}
        return {name: torch.from_numpy(values[triplets.triplets_B]).to(self.device) for name, values in rows.items()}

    def _swapped_queries(self, triplets: TripletBatch, step: int, cache: GradientCache, like: Tensor) -> Tensor:
        """(B, D) queries of texts with one word swapped; zero where there is none, or it is the triplet's own."""
        import torch

        swapped_of, own = self.training.swapped_texts, self.training.triplets.texts
        others = [[new for new in swapped_of.get(text, ()) if new not in own[row]] for row, text in triplets.visits()]
        drawn = self._drawn(others, "swapped texts", step)
        if not drawn:
            return torch.zeros_like(like)
        tokens_ML = self.network.tokenize(list(drawn.values()))
        queries = self._queries(self.network, triplets, tokens_ML, np.array(list(drawn)), np.arange(len(drawn)))
        return self._at(drawn, cache.vectors(queries), like)

    def _reworded(self, triplets: TripletBatch, step: int) -> dict[int, str]:
        """Another text of each triplet that has several, by its position, where the objective reads their queries.

        They pass the query encoder together with the triplets' own, so that each weight has one gradient.
        """
        if REWORDED_QUERIES not in self.training.objective.needs:
            return {}
        own = self.training.triplets.texts
        others = [[other for other in own[row] if other != text] for row, text in triplets.visits()]
        return self._drawn(others, "reworded texts", step)

    def _drawn(self, others: Sequence[Sequence[str]], purpose: str, step: int) -> dict[int, str]:
        """One of the other texts of each triplet that has any, by its position in the batch."""
        random_B = random_of(self.training.seed, self.training.name, purpose, step).random(len(others))
        return {position: texts[int(random_B[position] * len(texts))] for position, texts in enumerate(others) if texts}

    def _at(self, drawn: Mapping[int, str], queries_MD: Tensor, like: Tensor) -> Tensor:
        """(B, D) with these queries at the positions that were drawn, and zero at the others."""
        import torch

        positions_M = torch.tensor(list(drawn), dtype=torch.int64, device=self.device)
        return torch.zeros_like(like).index_put((positions_M,), queries_MD)

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
        import torch

        def encode(positions: range) -> Tensor:
            references_U, rows = np.unique(triplets.references_B[references_M[positions]], return_inverse=True)
            images, rows_M = self._inputs(references_U), torch.from_numpy(rows).to(self.device)
            with self.precision.encoders():
                tokens_ML = tokens_BL[texts_M[positions]].to(self.device)
                return _at_least_float32(network.encode_queries(images, rows_M, tokens_ML))

        return Encode(len(references_M), encode)

    def _extra_outputs(self, triplets: TripletBatch, tokens_BL: Tensor, cache: GradientCache) -> dict[str, Tensor]:
        """The network's outputs that the objective needs; they pass the cache side by side, as one (B, F) tensor."""
        import torch

        names = self.output_names
        if not names:
            return {}
        shapes: dict[str, torch.Size] = {}

        def encode(positions: range) -> Tensor:
            references, tokens = self._inputs(triplets.references_B[positions]), tokens_BL[positions].to(self.device)
            with self.precision.encoders():
                given = self.network.extra_outputs(
                    names, references, tokens, lambda: self._inputs(triplets.targets_B[positions])
                )
            parts = {name: given[name].float() for name in sorted(names)}
            shapes.update({name: part.shape[1:] for name, part in parts.items()})
            return torch.cat([part.reshape(len(positions), -1) for part in parts.values()], dim=1)

        joined = cache.vectors(Encode(len(triplets.texts), encode))
        widths = [shape.numel() for shape in shapes.values()]
        parts = torch.split_with_sizes(joined, widths, dim=1)
        return {name: part.reshape(-1, *shapes[name]) for name, part in zip(shapes, parts, strict=True)}

    def _inputs(self, rows: np.ndarray) -> Tensor:
        import torch

        return torch.from_numpy(self.inputs[rows]).to(self.device)


def needed_outputs(training: Training) -> frozenset[str]:
    """Names of the network's outputs that the objective needs.

    Raises:
        RecipeError: the network has no such output.
    """
    needed = training.objective.needs - COMPUTED_BY_THE_LOOP
    if missing := needed - training.network.output_names:
        raise RecipeError(
            f"objective {training.objective.plugin_kind!r} needs the outputs {', '.join(sorted(missing))}, which "
            f"backbone {training.backbone.plugin_kind!r} with these settings does not give "
            f"(it gives: {', '.join(sorted(training.network.output_names)) or 'none'}); docs/objectives.md says which "
            "backbone does"
        )
    return needed


def bank_on_device(
    bank: torch.Tensor, device: torch.device, processes: Processes = ALONE
) -> tuple[torch.Tensor, BankShard | None]:
    """The bank, and this process's share of it where there are several.

    What is passed over at each step (the bank, or the share) goes on a GPU that has room to spare for it, else it
    stays where it is: memory-mapped, streamed block by block.
    """
    from spn4cir_core.objectives.bank_shard import BankShard

    if processes.count == 1:
        return _where_it_fits(bank, device), None
    shard = BankShard.of(bank, processes.rank, processes.count)
    return bank, replace(shard, vectors=_where_it_fits(shard.vectors, device))


def _where_it_fits(vectors: torch.Tensor, device: torch.device) -> torch.Tensor:
    import torch

    if device.type != "cuda":
        return vectors
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return vectors.to(device) if vectors.numel() * vectors.element_size() < free_bytes // 2 else vectors


def _at_least_float32(vectors: Tensor) -> Tensor:
    return vectors.float() if vectors.element_size() < 4 else vectors
