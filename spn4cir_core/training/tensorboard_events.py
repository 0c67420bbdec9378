"""Metrics of training stages as TensorBoard event files, of finished trainings and of one under way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spn4cir_core.engine.stage import Stage, Tables
from spn4cir_core.errors import MissingExtra, StoreError
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.checkpoints import METRICS, RESUME, read_lines


def export_events(stages: Iterable[Stage[Any]], recipe: Tables, store: Store, folder: Path) -> dict[str, int]:
    """Write one run per stage below ``folder``, anew each time.

    Args:
        stages: the training stages; those that have trained nothing are left out.

    Returns:
        Run name (``stage1_checkpoint/<fingerprint>``) → steps written.

    Raises:
        MissingExtra: ``tensorboard`` is not installed.
        StoreError: the recipe has trained nothing yet.
    """
    files = dict(_metrics_files(stages, recipe, store))
    if not files:
        raise StoreError(f"recipe {recipe.name!r} has trained nothing in {store} yet; train with: spn4cir run")
    return {run: write_events(read_lines(path), folder / run) for run, path in files.items()}


def write_events(metrics: Sequence[Mapping[str, Any]], folder: Path) -> int:
    """Write every number of every line as a scalar at its step, in place of what the folder held; the steps."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("tensorboard", "tensorboard") from error
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    writer: Any = SummaryWriter(str(folder))
    for line in metrics:
        for name, value in line.items():
            if name != "step" and isinstance(value, int | float):
                writer.add_scalar(name, value, line["step"])
    writer.close()
    return len(metrics)


def _metrics_files(stages: Iterable[Stage[Any]], recipe: Tables, store: Store) -> Iterable[tuple[str, Path]]:
    for stage in stages:
        path = _under_way(stage, recipe, store)
        if path is not None:
            yield path
        elif (current := store.current(recipe.name, stage.name)) is not None:
            yield f"{stage.name}/{current.fingerprint}", current.file(METRICS)


def _under_way(stage: Stage[Any], recipe: Tables, store: Store) -> tuple[str, Path] | None:
    fingerprint = stage.wanted(recipe, store)
    path = store.root / stage.name / f".{fingerprint}.draft" / RESUME / METRICS
    return (f"{stage.name}/{fingerprint}", path) if fingerprint is not None and path.is_file() else None
