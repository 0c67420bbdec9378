"""The one training loop. What differs between stages is data: see :class:`Training`."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spn4cir_core.engine.progress import Progress
from spn4cir_core.errors import TrainingError
from spn4cir_core.models.devices import choose_device
from spn4cir_core.models.precision import precision_of
from spn4cir_core.store.draft import Draft
from spn4cir_core.training.checkpoints import Resume, as_module
from spn4cir_core.training.collectives import any_of, from_first
from spn4cir_core.training.following import Follower
from spn4cir_core.training.interrupts import Interrupts
from spn4cir_core.training.optimisers import trainable
from spn4cir_core.training.steps import Steps
from spn4cir_core.training.training import Training
from spn4cir_core.training.validation import better_of, out_of_patience

log = logging.getLogger(__name__)
PROGRESS_EVERY_STEPS = 10


def train_stage(training: Training, draft: Draft, progress: Progress) -> None:
    """Train, and write the checkpoint into the draft.

    A killed training goes on from its last saved step and ends with the bytes of an unbroken one (same machine,
    same number of threads and processes). Ctrl-C saves the step it comes in.

    Raises:
        TrainingError: the loss or its gradient is not finite; nothing is published.
    """
    import torch

    from spn4cir_core.models.products import products_in

    home = Path(training.processes.gather(str(draft.path))[0])
    with (
        _threads(training.schedule.threads),
        torch.random.fork_rng(devices=[]),
        products_in(precision_of(training.schedule.products)),
    ):
        with draft.timed("read"):
            loop = _Loop(training, Resume(draft, home), draft.seconds)
        metrics = loop.run(progress)
    draft.rows = len(training.triplets.ids)
    draft.details |= _headline(training, metrics, loop)


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Let torch use this number of threads inside, where one is given."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Loop:
    def __init__(self, training: Training, resume: Resume, seconds: defaultdict[str, float]) -> None:
        schedule = training.schedule
        self.training, self.schedule, self.resume, self.seconds = training, schedule, resume, seconds
        self.first = training.processes.first
        self.device = choose_device(schedule.device)
        self.module = as_module(training.network).to(self.device)
        if schedule.checkpoint_activations:
            training.network.checkpoint_activations()
        training.network.expect_texts(training.triplets.all_texts())
        self.steps = Steps(training, trainable(self.module, training.frozen), self.device)
        self.average = schedule.weight_average.track(self.steps.parameters, training.steps)
        self.follower = self._follower()
        self.trained = 0

    def _follower(self) -> Follower | None:
        training = self.training
        bank = training.bank
        if bank is None or bank.following is None:
            return None
        every_steps = round(bank.following.refresh_every_epochs * len(training.triplets.visits) / self.steps.rows)
        return Follower(
            bank.following,
            training.network,
            bank.candidate_inputs,
            bank.vectors_ND.dtype,
            max(1, every_steps),
            self.device,
            training.processes,
        )

    def run(self, progress: Progress) -> list[dict[str, Any]]:
        started = time.perf_counter()
        self.start = self._validated({"step": 0})
        metrics = self._load()
        if not metrics:
            self._keep_best()
        self._train_mode()
        self.seconds["read"] += time.perf_counter() - started
        started = time.perf_counter()
        self._train(metrics, progress)
        self.seconds["compute"] += time.perf_counter() - started
        started = time.perf_counter()
        self._finish(metrics)
        self.seconds["write"] += time.perf_counter() - started
        return metrics

    def _train(self, metrics: list[dict[str, Any]], progress: Progress) -> None:
        training, patience = self.training, self.schedule.validation.patience
        progress(training.name, len(metrics), training.steps)
        with Interrupts() as interrupts:
            while len(metrics) < training.steps and not out_of_patience([self.start, *metrics], patience):
                if any_of(interrupts.caught is not None, training.processes, self.device):
                    self._interrupted(metrics)
                    interrupts.deliver()
                try:
                    metrics.append(self._step(len(metrics)))
                except TrainingError:
                    self._save(metrics)
                    raise
                step = len(metrics)
                self.trained += 1
                self._move_target(step)
                if self.average is not None:
                    self.average.after(step)
                self._validate(metrics)
                if step % self.schedule.save_every_steps == 0 and step < training.steps:
                    self._save(metrics)
                if step % PROGRESS_EVERY_STEPS == 0 or step == training.steps:
                    progress(training.name, step, training.steps)

    def _move_target(self, step: int) -> None:
        if self.follower is not None and (bank_ND := self.follower.after(step)) is not None:
            self.steps.batches.use_bank(bank_ND)
            self._train_mode()

    def _step(self, step: int) -> dict[str, Any]:
        return self.steps.take(step, self.resume)

    def _validate(self, metrics: list[dict[str, Any]]) -> None:
        """Where it is due, add the recalls of the weights as they would be published; save them if they are best."""
        every, step = self.schedule.validation.every_steps, len(metrics)
        if every is None or (step % every and step != self.training.steps):
            return
        metrics[-1] = self._validated(metrics[-1])
        if better_of([self.start, *metrics], self.schedule.validation.least_gain) is metrics[-1]:
            self._keep_best()
        self._train_mode()

    def _validated(self, line: dict[str, Any]) -> dict[str, Any]:
        """The line with the recalls of the weights as they are, as it was where nothing is validated."""
        from spn4cir_core.models.products import products_in

        training, validation = self.training, self.training.validation
        if validation is None:
            return line
        with self._with_averaged_weights(), products_in("float32"):  # as they are asked later
            recalls = dict.fromkeys(validation.measures, 0.0)
            if self.first:
                recalls = validation.recalls(training.network, self.device, self.steps.precision.encoders())
        values = from_first([recalls[name] for name in validation.measures], training.processes, self.device)
        return line | dict(zip(validation.measures, values, strict=True))

    def _keep_best(self) -> None:
        if self.first and self.training.keeps_best:
            with self._with_averaged_weights():
                self.resume.save_best(self.module, self.steps.temperature.value)

    @contextmanager
    def _with_averaged_weights(self) -> Iterator[None]:
        """Inside the block the network is in eval mode and has the averaged weights, where there are some."""
        self.module.eval()
        if self.average is None:
            yield
        else:
            with self.average.applied():
                yield

    def _train_mode(self) -> None:
        self.module.train()
        for frozen in self.training.frozen:
            if hasattr(frozen, "eval"):
                frozen.eval()

    def _load(self) -> list[dict[str, Any]]:
        state = self.resume.load(self.module, self.steps.temperature.tensor, self.steps.optimiser)
        memory = state.extras.get("memory", {})
        self.steps.batches.memory |= {name: tensor.to(self.device) for name, tensor in memory.items()}
        self.steps.precision.restore(state.extras.get("precision", {}))
        if self.steps.batches.momentum is not None:
            self.steps.batches.momentum.restore(state.extras.get("momentum_targets", {}))
        if self.average is not None:
            self.average.restore(state.extras.get("average", {}))
        if self.follower is not None and (bank_ND := self.follower.restore(state.extras.get("target", {}))) is not None:
            self.steps.batches.use_bank(bank_ND)
        return state.metrics

    def _save(self, metrics: list[dict[str, Any]]) -> None:
        if self.first:
            average = self.average.state() if self.average is not None else {}
            target = self.follower.state() if self.follower is not None else {}
            momentum = self.steps.batches.momentum
            extras = {
                "memory": self.steps.batches.memory,
                "momentum_targets": momentum.state() if momentum is not None else {},
                "precision": self.steps.precision.state(),
                "average": average,
                "target": target,
            }
            self.resume.save(self.module, self.steps.temperature.tensor, self.steps.optimiser, metrics, extras)

    def _finish(self, metrics: list[dict[str, Any]]) -> None:
        if not self.first:
            return
        temperature = self.steps.temperature.value
        if self.average is not None:
            self.average.apply()
        if self.schedule.validation.keep == "best_and_last":
            self.resume.save_last(self.module, temperature)
        if self.training.keeps_best:
            temperature = self.resume.load_best(self.module)
        self.resume.finish(self.training.backbone, self.training.network, temperature, metrics)

    def _interrupted(self, metrics: list[dict[str, Any]]) -> None:
        self._save(metrics)
        if self.first:
            log.warning(
                "%s was interrupted: step %d of %d is saved. Run the same again and it goes on from there.",
                self.training.name,
                len(metrics),
                self.training.steps,
            )


def _headline(training: Training, metrics: list[dict[str, Any]], loop: _Loop) -> dict[str, Any]:
    compute_s = loop.seconds["compute"]
    details = {
        "steps": len(metrics),
        "batch_size": loop.steps.batch_size,
        "triplets": len(training.triplets.ids),
        "candidates": len(training.triplets.candidates),
        "trained_parameters": sum(parameter.numel() for parameter in loop.steps.parameters),
        "first_loss": metrics[0]["loss"] if metrics else None,
        "last_loss": metrics[-1]["loss"] if metrics else None,
        "temperature": metrics[-1]["temperature"] if metrics else training.temperature,
        "triplets_per_s": round(loop.trained * loop.steps.rows / compute_s, 1) if compute_s else None,
        "false_negatives": len(training.false_negatives.rows),
        "device": str(loop.device),
        "products": precision_of(training.schedule.products),
    }
    if training.validation is not None:
        details["validation"] = headline = training.validation.headline([loop.start, *metrics])
        if metrics and headline["weights"] == "start":
            log.warning(
                "%s did not help on %d validation queries; its checkpoint holds the weights it started from",
                training.name,
                headline["queries"],
            )
    return details
