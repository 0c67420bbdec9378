"""What a larger corpus would cost: what this store measured, grown by the law of each stage."""

from __future__ import annotations

import math
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from spn4cir_core.engine.plugins import Settings, explain
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.flow import STAGES
from spn4cir_core.operations.growth import LAWS, LISTS_VISITED, Corpus, Load, memory
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store

ON_ACCELERATOR = ("stage2_checkpoint", "eval_report")
SAME_SIZE = (".safetensors", "network.json", ".jpg", ".html", ".md", "report.json", "templates.json", "index.json")
"""Ends of names of files that do not grow with a corpus."""
CACHED_BY = {
    "captions": "captions",
    "image_embeddings": "image_embeddings",
    "file_findings": "images",
    "file_hashes": "images",
    "image_inputs": "stage1_checkpoint",
    "target_vectors": "search_index",
}
"""Folder of results kept per picture → the stage that fills it."""


class Rates(Settings):
    """Rates of another machine, in place of those measured here: ``rates.toml``."""

    seconds_per_row: dict[str, float] = Field(default={})
    """By stage; its unit stands in the last column of the table."""
    products_per_s: float | None = Field(default=None, gt=0)
    """Multiply-adds a second in float32 on the processor."""
    accelerator_products_per_s: float | None = Field(default=None, gt=0)
    """On the accelerator, for stage 2's bank and evaluation; None: as on the processor."""


@dataclass(frozen=True)
class Cost:
    """One line of the table; None where nothing is known."""

    stage: str
    seconds: float | None
    memory_bytes: float
    disk_bytes: float | None
    rests_on: str


def load_rates(path: Path) -> Rates:
    """Read ``rates.toml``.

    Raises:
        InputError: it cannot be read, or holds an unknown key or stage, or a value that is no positive number.
    """
    try:
        rates = Rates.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        says = explain(error, str(path), Rates) if isinstance(error, ValidationError) else f"{path}: {error}"
        raise InputError(says) from error
    for stage, seconds in rates.seconds_per_row.items():
        if stage not in LAWS or not (math.isfinite(seconds) and seconds >= 0):
            raise InputError(f"{path}: seconds_per_row.{stage} = {seconds}: the stages are {', '.join(LAWS)}")
    return rates


def measured_corpus(recipe: Recipe, store: Store) -> Corpus:
    """The counts of what the recipe has made; what is not made yet is taken to be as the recipe usually comes out.

    Raises:
        StoreError: not even the images are there.
    """
    made = {name: store.current(recipe.name, name) for name in STAGES}
    images = made["images"]
    if images is None:
        raise StoreError(
            f"recipe {recipe.name!r} has no images in {store}: the estimate scales what was measured. Run it on a "
            "sample of the pictures first, some thousands, on the machine that is to do the work: spn4cir run"
        )
    count = float(images.summary["rows"])
    details = {name: artifact.details if artifact else {} for name, artifact in made.items()}
    held_out = recipe.splits.validation_share + recipe.splits.evaluation_share
    splits = details["splits"].get("images") or {"train": count * (1 - held_out), "evaluation": count * held_out}
    pairs = _rows(made["pairs"], count * recipe.pairs.per_reference)
    triplets = details["triplets"].get("triplets") or {"train generated": pairs * splits["train"] / max(1.0, count)}
    generated, annotated = (float(triplets.get(f"train {origin}", 0)) for origin in ("generated", "annotated"))
    bank = details["candidate_bank"]
    guarded = float(details["false_negatives"].get("triplets", generated + annotated))
    by_guard = details["false_negatives"].get("by_reason", {})
    return Corpus(
        images=count,
        splits={name: float(size) for name, size in splits.items()},
        dimensions=int(details["image_embeddings"].get("dimensions", 768)),
        pairs=pairs,
        generated=generated,
        annotated=annotated,
        candidates=_rows(made["candidate_bank"], float(splits["train"])),
        excluded={guard: count / max(1.0, guarded) for guard, count in by_guard.items()},
        bank_dimensions=int(bank.get("dim", 640)) * int(bank.get("target_tokens", 1)),
        queries={name: float(size) for name, size in details["eval_report"].get("queries", {}).items()},
        lists_visited=int(details["splits"].get("near_duplicate_index", {}).get("lists_visited", LISTS_VISITED)),
    )


def estimate(recipe: Recipe, store: Store, images: int, processes: int = 1, rates: Rates | None = None) -> list[Cost]:
    """What each stage would cost for that many images, one line per stage, in flow order.

    Args:
        processes: that share the stages which can be spread, one per accelerator; an ideal division.
        rates: of another machine, in place of what was measured.

    Raises:
        StoreError: the recipe has made nothing yet.
    """
    now, given = measured_corpus(recipe, store), rates or Rates()
    then = now.grown(images, recipe)
    on_processor = given.products_per_s or products_per_s()
    on_accelerator = given.accelerator_products_per_s or (
        None if given.products_per_s else accelerator_products_per_s()
    )
    costs = []
    for name, law in LAWS.items():
        speed = (name in ON_ACCELERATOR and on_accelerator) or on_processor
        share = processes if STAGES[name].multi_process else 1
        artifact = store.current(recipe.name, name)
        seconds, rests_on = _seconds(
            artifact, law(now, recipe), law(then, recipe), speed, given.seconds_per_row.get(name)
        )
        disk = _disk(artifact, law(then, recipe).rows / max(1.0, law(now, recipe).rows), images / max(1.0, now.images))
        cached = _cached(store, name) * images / max(1.0, now.images)
        costs.append(
            Cost(
                name,
                None if seconds is None else seconds / share,
                memory(name, then, recipe),
                None if disk is None else disk + cached,
                rests_on + (f"; shared by {share}" if share > 1 else ""),
            )
        )
    return costs


def _seconds(
    artifact: Artifact | None, now: Load, then: Load, products_per_s: float, given: float | None
) -> tuple[float | None, str]:
    """Seconds for the load ``then``, and the rate they rest on.

    Multiply-adds are taken out of what was measured at the speed of a plain matrix product, never more than there is,
    and grown by themselves.
    """
    fast = then.products / products_per_s
    if given is not None:
        return given * then.rows + fast, f"given: {given:g} s per {then.unit}{_with(then.products, fast)}"
    measured = _measured(artifact)
    rows = _computed(artifact, now.rows)
    if artifact is None or not rows or not sum(measured.values()):
        return None, f"nothing measured here; give seconds_per_row (per {then.unit}) or run it on a sample"
    fast_now = min(measured["compute"], now.products / products_per_s)
    if now.products:
        fast = fast_now * then.products / now.products
    steady = (measured["compute"] - fast_now) * then.rows / rows
    read_now, read_then = now.read_rows or rows, then.read_rows or then.rows
    around = measured["around"] * read_then / max(1.0, read_now)
    basis = f"{sum(measured.values()):,.1f} s for {rows:,.0f} {now.unit}{'s' if rows != 1 else ''} here"
    return steady + around + fast, basis + _with(then.products, fast)


def _with(products: float, seconds: float) -> str:
    return f"; {products:.1e} multiply-adds take {seconds:,.0f} s of it" if products and seconds >= 1 else ""


def _measured(artifact: Artifact | None) -> dict[str, float]:
    seconds: Mapping[str, float] = artifact.summary["seconds"] if artifact else {}
    compute = seconds.get("compute", 0.0)
    return {"compute": compute, "around": sum(seconds.values()) - compute}


def _computed(artifact: Artifact | None, rows: float) -> float:
    """Rows that the measured seconds were spent on: not those that were there from an earlier run."""
    details: dict[str, Any] = artifact.details if artifact else {}
    if details.get("triplets_per_s"):
        return float(details["triplets_per_s"]) * _measured(artifact)["compute"]
    return float(details.get("computed", details.get("encoded", rows)))


def _rows(artifact: Artifact | None, otherwise: float) -> float:
    return float(artifact.summary["rows"]) if artifact else otherwise


def _disk(artifact: Artifact | None, rows_factor: float, images_factor: float) -> float | None:
    """Bytes of the artefact's files: tables grow with its rows, vectors with the images, models not at all."""
    if artifact is None:
        return None
    total = 0.0
    for name, recorded in artifact.summary["files"].items():
        grows = images_factor if name.endswith((".npy", ".faiss")) else rows_factor
        total += recorded["bytes"] * (1 if name.endswith(SAME_SIZE) else grows)
    return total


def _cached(store: Store, stage: str) -> float:
    """Bytes of the results kept per picture that a stage fills; those of other recipes of the store are among them."""
    folders = [store.root / "rows" / name for name, by in CACHED_BY.items() if by == stage]
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("part-*.parquet"))


def products_per_s() -> float:
    """Multiply-adds a second of this machine's processor in float32, by the best of a few matrix products."""
    import numpy as np

    rows, block = np.ones((1024, 512), np.float32), np.ones((512, 8192), np.float32)
    return _best(lambda: rows @ block, 1024 * 512 * 8192)


def accelerator_products_per_s() -> float | None:
    """The same of the first GPU; None where there is none."""
    import torch

    if not torch.cuda.is_available():
        return None
    rows, block = torch.ones(4096, 512, device="cuda"), torch.ones(512, 65536, device="cuda")

    def product() -> None:
        rows @ block
        torch.cuda.synchronize()

    return _best(product, 4096 * 512 * 65536)


def _best(product: Any, multiply_adds: int) -> float:
    seconds = math.inf
    for _ in range(5):
        started = time.perf_counter()
        product()
        seconds = min(seconds, time.perf_counter() - started)
    return multiply_adds / seconds
