"""The one training loop. A stage is a :class:`Training`: what differs between stages is data."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spn4cir_core.artifacts import Draft
from spn4cir_core.backbones.base import Backbone, Network
from spn4cir_core.errors import TrainingError
from spn4cir_core.objectives.base import Batch, Objective
from spn4cir_core.progress import Progress
from spn4cir_core.training.checkpoints import Resume, as_module
from spn4cir_core.training.devices import choose_device, place_bank
from spn4cir_core.training.settings import Schedule
from spn4cir_core.training.triplet_batches import NotNegatives, TrainingTriplets, TripletBatch, random_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

PROGRESS_EVERY_STEPS = 10


@dataclass(frozen=True)
class Training:
    """One stage of training."""

    name: str
    """Decides, with the seed, the order of the triplets and their texts."""
    seed: int
    steps: int
    schedule: Schedule
    objective: Objective
    backbone: Backbone
    network: Network
    """With its starting weights."""
    temperature: float
    """To start from."""
    frozen: Sequence[nn.Module | nn.Parameter]
    triplets: TrainingTriplets
    inputs: np.ndarray
    """(N, …) image inputs of the candidate set."""
    bank_ND: np.ndarray | None
    """Frozen candidate vectors; without a bank the targets are encoded, with gradients, at each step."""
    not_negatives: NotNegatives


def train_stage(training: Training, draft: Draft, progress: Progress) -> None:
    """Train, and write the checkpoint into the draft.

    A killed training goes on from its last kept step and ends with the bytes of an unbroken one (same machine,
    same number of threads).

    Raises:
        TrainingError: the loss or its gradient is no finite number; nothing is published.
    """
    import torch

    if training.schedule.threads is not None:
        torch.set_num_threads(training.schedule.threads)
    with torch.random.fork_rng(devices=[]):
        loop = _Loop(training, Resume(draft), draft.seconds)
        metrics = loop.run(progress)
    draft.rows = len(training.triplets.ids)
    draft.details |= _headline(training, metrics, loop)


class _Loop:
    def __init__(self, training: Training, resume: Resume, seconds: defaultdict[str, float]) -> None:
        import torch

        self.training, self.resume, self.seconds = training, resume, seconds
        self.device = choose_device(training.schedule.device)
        self.module = as_module(training.network).to(self.device)
        self.network = training.network
        self.log_temperature = torch.tensor(math.log(training.temperature), device=self.device)
        self.parameters = trainable(self.module, training.frozen)
        self.log_temperature.requires_grad_(training.schedule.learn_temperature)
        self.optimiser = _optimiser(self.parameters, self.log_temperature, training.schedule)
        self.bank = None if training.bank_ND is None else place_bank(torch.from_numpy(training.bank_ND), self.device)
        self.batch_size = training.triplets.batch_size(training.schedule.batch_size)
        self.trained = 0

    def run(self, progress: Progress) -> list[dict[str, Any]]:
        training = self.training
        started = time.perf_counter()
        training.network.expect_texts(training.triplets.all_texts())
        step, metrics = self.resume.load(self.module, self.log_temperature, self.optimiser)
        self.seconds["read"] += time.perf_counter() - started
        self.module.train()
        for frozen in training.frozen:
            if hasattr(frozen, "eval"):
                frozen.eval()
        started = time.perf_counter()
        while step < training.steps:
            metrics.append(self._step(step))
            step += 1
            self.trained += 1
            if step % training.schedule.save_every_steps == 0 and step < training.steps:
                self.resume.save(step, self.module, self.log_temperature, self.optimiser, metrics)
            if step % PROGRESS_EVERY_STEPS == 0 or step == training.steps:
                progress(training.name, step, training.steps)
        self.seconds["compute"] += time.perf_counter() - started
        started = time.perf_counter()
        self.resume.finish(training.backbone, self.network, float(self.log_temperature.detach().exp()), metrics)
        self.seconds["write"] += time.perf_counter() - started
        return metrics

    def _step(self, step: int) -> dict[str, Any]:
        import torch

        training, schedule = self.training, self.training.schedule
        # Dropout, where a backbone has it, must not depend on what ran before a kill.
        torch.manual_seed(int(random_of(training.seed, training.name, "dropout", step).integers(2**62)))
        rate = learning_rate(step, training.steps, schedule)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        triplets = training.triplets.batch(training.seed, training.name, step, self.batch_size)
        self.optimiser.zero_grad(set_to_none=True)
        loss = training.objective.loss(self._batch(triplets, step))
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, schedule.clip_norm)
        value, gradient = float(loss.detach()), float(norm)
        if not (math.isfinite(value) and math.isfinite(gradient)):
            raise TrainingError(
                f"{training.name}: at step {step + 1} of {training.steps} the loss is {value} and the norm of its "
                f"gradient {gradient}; triplets {[training.triplets.ids[row] for row in triplets.triplets_B[:3]]} … "
                f"Try a learning_rate below {schedule.learning_rate} or a temperature above {schedule.temperature}."
            )
        self.optimiser.step()
        return {
            "step": step + 1,
            "epoch": round((step + 1) * self.batch_size / len(training.triplets.visits), 4),
            "loss": value,
            "gradient_norm": gradient,
            "learning_rate": rate,
            "temperature": float(self.log_temperature.detach().exp()),
        }

    def _batch(self, triplets: TripletBatch, step: int) -> Batch:
        import torch

        network, rows_B = self.network, torch.from_numpy(triplets.targets_B)
        queries_BD = network.encode_query(
            self._inputs(triplets.references_B), network.tokenize(triplets.texts).to(self.device)
        )
        if self.bank is None:
            targets_BD = network.encode_target(self._inputs(triplets.targets_B))
        else:
            targets_BD = self.bank[rows_B].to(self.device, queries_BD.dtype)
        return Batch(
            queries_BD=queries_BD,
            targets_BD=targets_BD,
            target_rows_B=rows_B.to(self.device),
            weights_B=torch.from_numpy(triplets.weights_B).to(self.device),
            bank_ND=self.bank,
            not_negative_rows=torch.from_numpy(self.training.not_negatives.pairs(triplets.triplets_B)).to(self.device),
            temperature=self.log_temperature.exp(),
            step=step,
        )

    def _inputs(self, rows: np.ndarray) -> Tensor:
        import torch

        return torch.from_numpy(self.training.inputs[rows]).to(self.device)


def learning_rate(step: int, steps: int, schedule: Schedule) -> float:
    """Linear warm-up, then half a cosine down to zero; ``step`` counts from 0."""
    warmup = round(schedule.warmup_share * steps)
    if step < warmup:
        return schedule.learning_rate * (step + 1) / warmup
    return schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def trainable(module: nn.Module, frozen: Sequence[nn.Module | nn.Parameter]) -> list[nn.Parameter]:
    """Freeze what must not change; the parameters that are left."""
    for part in frozen:
        part.requires_grad_(False)
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _optimiser(parameters: list[nn.Parameter], log_temperature: Tensor, schedule: Schedule) -> torch.optim.Optimizer:
    import torch

    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": schedule.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if schedule.learn_temperature:
        groups.append({"params": [log_temperature], "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=schedule.learning_rate)


def _headline(training: Training, metrics: list[dict[str, Any]], loop: _Loop) -> dict[str, Any]:
    compute_s = loop.seconds["compute"]
    return {
        "steps": training.steps,
        "batch_size": loop.batch_size,
        "triplets": len(training.triplets.ids),
        "candidates": len(training.triplets.candidates),
        "trained_parameters": sum(parameter.numel() for parameter in loop.parameters),
        "first_loss": metrics[0]["loss"] if metrics else None,
        "last_loss": metrics[-1]["loss"] if metrics else None,
        "temperature": metrics[-1]["temperature"] if metrics else training.temperature,
        "triplets_per_s": round(loop.trained * loop.batch_size / compute_s, 1) if compute_s else None,
        "not_negatives": len(training.not_negatives.rows),
        "device": str(loop.device),
    }
