"""One optimiser step: batches, their gradients over chunks and processes, clipping, update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spn4cir_core.errors import TrainingError
from spn4cir_core.training.checkpoints import Resume
from spn4cir_core.training.collectives import mean_gradient, sum_gradients
from spn4cir_core.training.gradient_cache import GradientCache
from spn4cir_core.training.optimisers import Precision, Temperature, adamw, learning_rate
from spn4cir_core.training.step_batches import StepBatches
from spn4cir_core.training.training import Training
from spn4cir_core.training.triplet_batches import TripletBatch, random_of

if TYPE_CHECKING:
    import torch
    from torch import nn


class Steps:
    """Takes the steps of one training; made while its network still has the starting weights.

    Attributes:
        parameters: what is trained, apart from the temperature.
        temperature: trained too where the schedule says so.
        batches: what the objective sees, and its memory.
    """

    def __init__(self, training: Training, parameters: list[nn.Parameter], device: torch.device) -> None:

        schedule = training.schedule
        self.training, self.schedule, self.parameters, self.device = training, schedule, parameters, device
        self.temperature = Temperature(training.temperature, schedule, device)
        self.optimiser = adamw(parameters, self.temperature.tensor, schedule)
        self.precision = Precision(schedule.precision, device)
        self.batch_size = training.triplets.batch_size(schedule.batch_size)
        self.batches = StepBatches(training, device, self.precision)

    @property
    def rows(self) -> int:
        """Triplets of one step."""
        return self.batch_size * self.schedule.accumulate_batches

    def take(self, step: int, resume: Resume) -> dict[str, Any]:
        """Take a step, counted from 0; its line of the metrics.

        Raises:
            TrainingError: the loss or its gradient is not finite, or a learnt temperature has left the positive
                numbers; ``resume`` has the batch, and no weight has changed.
        """
        import torch

        training, schedule, scaler = self.training, self.schedule, self.precision.scaler
        rate = learning_rate(step, training.steps, schedule)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        numbers = range(step * schedule.accumulate_batches, (step + 1) * schedule.accumulate_batches)
        taken = [training.triplets.batch(training.seed, training.name, number, self.batch_size) for number in numbers]
        value = math.fsum(self._backward(*batch, step) for batch in zip(numbers, taken, strict=True)) / len(taken)
        sum_gradients(self.parameters, training.processes)
        mean_gradient(self.temperature.tensor, training.processes)
        scaler.unscale_(self.optimiser)  # type: ignore[arg-type]
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, schedule.clip_norm))
        lost = not math.isfinite(value) or self.temperature.value <= 0
        if lost or not (math.isfinite(norm) or self.precision.may_overflow):
            raise TrainingError(self._refusal(step, value, norm, taken, resume))
        scaler.step(self.optimiser)  # type: ignore[arg-type]
        scaler.update()
        if self.batches.momentum is not None:
            self.batches.momentum.after_step()
        return {
            "step": step + 1,
            "epoch": round((step + 1) * self.rows / len(training.triplets.visits), 4),
            "loss": value,
            "gradient_norm": norm if math.isfinite(norm) else None,
            "learning_rate": rate,
            "temperature": self.temperature.value,
        }

    def _backward(self, number: int, triplets: TripletBatch, step: int) -> float:
        """Add the gradient of one batch, by its share in the step; its loss."""
        training, share = self.training, self.schedule.accumulate_batches
        cache = GradientCache(training.processes, self.device, self.schedule.chunk_size)
        # Dropout, where a backbone has it, must not depend on what ran before a kill.
        rank = training.processes.rank
        self._reseed(f"dropout/{rank}" if rank else "dropout", number)
        batch = self.batches.of(triplets, step, cache, self.temperature.of_step())
        # What an objective draws must be the same in every process.
        self._reseed("objective", number)
        loss = training.objective.loss(batch)
        self.precision.scaler.scale(loss if share == 1 else loss / share).backward()  # type: ignore[no-untyped-call]
        cache.backward()
        return float(loss.detach())

    def _reseed(self, purpose: str, number: int) -> None:
        import torch

        seed = int(random_of(self.training.seed, self.training.name, purpose, number).integers(2**62))
        if self.device.type == "cpu":  # torch.manual_seed keeps a traceback of each call for every kind of accelerator
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def _refusal(self, step: int, value: float, norm: float, taken: Sequence[TripletBatch], resume: Resume) -> str:
        """Save the batch that broke the training for a person to look at; the error message."""
        training, schedule = self.training, self.schedule
        rows = [(training.triplets.ids[row], text) for batch in taken for row, text in batch.visits()]
        report: dict[str, Any] = {
            "stage": training.name,
            "step": step + 1,
            "loss": str(value),
            "gradient_norm": str(norm),
        }
        report["triplets"] = [{"triplet_id": triplet, "modified_text": text} for triplet, text in rows]
        where = f" The batch is in {resume.refuse(report)}." if training.processes.first else ""
        return (
            f"{training.name}: at step {step + 1} of {training.steps} the loss is {value} and the norm of its "
            f"gradient {norm}; triplets {[triplet for triplet, _ in rows[:3]]} … "
            f"Try a learning_rate below {schedule.learning_rate} or a temperature above {schedule.temperature}.{where}"
        )
