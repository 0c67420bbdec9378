"""The cost of a larger corpus: the rates that this store measured, times the law of growth on each stage."""

from __future__ import annotations

import math
import time
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, ValidationError

from spn4cir_core.engine.growth import Corpus, Load
from spn4cir_core.engine.plugins import Settings, explain
from spn4cir_core.engine.stage import Stage
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.flow import STAGES
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store

AROUND_STAGES = "around_stages_s"
"""In the recipe's note in the store: seconds of the last run that computed everything, those of its stages left out."""
GROWS_WITH_ROWS, GROWS_WITH_IMAGES = (".parquet", ".jsonl"), (".npy", ".faiss")
"""Ends of the names of files that grow with a corpus; models and pages do not."""
RERANKING = "reranking"
"""The line of the report's reranked queries; a part of ``eval_report`` that grows with the queries."""
LISTS_VISITED = 32
"""Lists of an inverted file that a search visits, where none was measured."""

FEW_MEASURED = 200
"""Pictures below which the times of a corpus say little of a larger one."""


class Rates(Settings):
    """Rates of another machine, in place of those measured here: ``rates.toml``."""

    largest_number: ClassVar[float] = math.inf
    """A processor makes more products a second than any other setting counts."""
    seconds_per_row: dict[str, float] = Field(default={})
    """Stage, or ``reranking`` → seconds per unit of its work; the last column of the table names the unit."""
    products_per_s: float | None = Field(default=None, gt=0)
    """Float32 multiply-adds per second on the processor."""
    accelerator_products_per_s: float | None = Field(default=None, gt=0)
    """The same on the GPU, for stage 2's bank and the evaluation; None: as on the processor."""


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
        InputError: it cannot be read, or holds an unknown key or stage, or a value that is not a positive number.
    """
    try:
        rates = Rates.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        message = explain(error, str(path), Rates) if isinstance(error, ValidationError) else f"{path}: {error}"
        raise InputError(message) from error
    for stage, seconds in rates.seconds_per_row.items():
        if stage not in (*STAGES, RERANKING) or not (math.isfinite(seconds) and seconds >= 0):
            raise InputError(f"{path}: seconds_per_row.{stage} = {seconds}: the stages are {', '.join(STAGES)}")
    return rates


def measured_corpus(recipe: Recipe, store: Store) -> Corpus:
    """Count what the recipe has made; what is missing is derived from its settings.

    Raises:
        StoreError: the recipe has no images.
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
        annotated_repeats=recipe.triplets.annotated_repeats,
        candidates=_rows(made["candidate_bank"], float(splits["train"])),
        excluded={guard: count / max(1.0, guarded) for guard, count in by_guard.items()},
        bank_dimensions=int(bank.get("dim", 640)) * int(bank.get("target_tokens", 1)),
        queries={name: float(size) for name, size in details["eval_report"].get("queries", {}).items()},
        lists_visited=int(details["splits"].get("near_duplicate_index", {}).get("lists_visited", LISTS_VISITED)),
    )


def grown(corpus: Corpus, images: int, recipe: Recipe) -> Corpus:
    """The same corpus with that many images; a count that a setting of the recipe caps stays below the cap."""
    factor = images / max(1.0, corpus.images)
    most_excluded = recipe.false_negatives.most_per_guard
    most_queries = {getattr(evaluator, "max_queries", None) for evaluator in recipe.eval_report.evaluators}
    pairs = min(corpus.pairs * factor, recipe.pairs.max_pairs or math.inf)
    generated = corpus.generated * (pairs / corpus.pairs if corpus.pairs else factor)
    return replace(
        corpus,
        images=images,
        splits={name: count * factor for name, count in corpus.splits.items()},
        pairs=pairs,
        generated=_capped(generated, recipe.triplets.max_generated),
        annotated=_capped(corpus.annotated * factor, recipe.annotations.max_triplets),
        candidates=corpus.candidates * factor,
        excluded={guard: min(count * factor, most_excluded) for guard, count in corpus.excluded.items()},
        queries={name: count * (1 if count in most_queries else factor) for name, count in corpus.queries.items()},
    )


def _capped(count: float, most: int | None) -> float:
    return count if most is None else min(count, most)


def estimate(recipe: Recipe, store: Store, images: int, processes: int = 1, rates: Rates | None = None) -> list[Cost]:
    """Estimate the cost of that many images: one line per stage, in flow order, one for the report's reranking where
    the recipe has a reranker, and one for results kept per picture.

    Args:
        processes: number that share the stages which several can run, one per accelerator; an ideal division.
        rates: rates of another machine, in place of those measured.

    Raises:
        StoreError: the recipe has made nothing yet.
    """
    now, given = measured_corpus(recipe, store), rates or Rates()
    then = grown(now, images, recipe)
    processor = given.products_per_s or products_per_s()
    accelerator = given.accelerator_products_per_s or (None if given.products_per_s else accelerator_products_per_s())
    speeds = Speeds(processor, accelerator or processor)
    costs = [
        _cost(stage, recipe, store, (now, then), speeds, given.seconds_per_row.get(stage.name), processes)
        for stage in STAGES.values()
    ]
    if recipe.rerank is not None:
        report = store.current(recipe.name, "eval_report")
        costs.append(_reranking(report, sum(then.queries.values()), given.seconds_per_row.get(RERANKING)))
    around_s = store.recipe_note(recipe.name).get(AROUND_STAGES)
    if isinstance(around_s, int | float):
        costs.append(Cost("around stages", float(around_s), 0.0, 0.0, "start, listing and pages of the last whole run"))
    return [*costs, Cost("rows/", 0.0, 0.0, _cached(store) * images / max(1.0, now.images), "results per picture")]


def few_measured(images: float) -> str:
    """A sentence where what was measured says little of a larger corpus; empty where it was pictures enough."""
    if images >= FEW_MEASURED:
        return ""
    return (
        f"measured on {_number(images, 'picture')} only: what starts a stage, and chance, are most of such times. Run "
        "the recipe on a sample of some thousand for figures to plan with"
    )


def _number(count: float, noun: str) -> str:
    return f"{count:,.0f} {noun if count == 1 else _plural(noun)}"


def record_run(recipe: Recipe, store: Store, artifacts: Iterable[Artifact], seconds: float) -> None:
    """Keep what a run of all stages, which found none of them made, took beside them; for :func:`estimate`."""
    spent = sum(sum(artifact.summary["seconds"].values()) for artifact in artifacts)
    with suppress(OSError, StoreError):  # as launch.recipe_source.claimed
        note = {**store.recipe_note(recipe.name), AROUND_STAGES: round(max(0.0, seconds - spent), 1)}
        store.set_recipe_note(recipe.name, note)


@dataclass(frozen=True)
class Speeds:
    """Float32 multiply-adds per second."""

    processor: float
    accelerator: float

    def seconds(self, load: Load) -> float:
        """Seconds that the multiply-adds of a load take."""
        return load.products / self.processor + load.accelerator_products / self.accelerator


def _cost(
    stage: Stage[Any],
    recipe: Recipe,
    store: Store,
    corpora: tuple[Corpus, Corpus],
    speeds: Speeds,
    given: float | None,
    processes: int,
) -> Cost:
    settings, artifact = stage.settings_of(recipe), store.current(recipe.name, stage.name)
    now, then = (stage.growth(corpus, settings) for corpus in corpora)
    seconds, rests_on = _seconds(artifact, now, then, speeds, given)
    share = processes if stage.multi_process else 1
    return Cost(
        stage.name,
        None if seconds is None else seconds / share,
        then.memory_bytes,
        _disk(artifact, then.rows / max(1.0, now.rows), corpora[1].images / max(1.0, corpora[0].images)),
        rests_on + (f"; shared by {share}" if share > 1 else ""),
    )


def _reranking(report: Artifact | None, queries: float, given: float | None) -> Cost:
    """So many queries at the mean seconds of the report's queries."""
    measured = (report.details if report else {}).get(RERANKING, {}).get("s_per_query")
    if given is None and measured is None:
        return Cost(RERANKING, None, 0.0, None, "nothing measured here; give seconds_per_row (per query)")
    rate, basis = (given, "given") if given is not None else (float(measured), "measured here")
    return Cost(RERANKING, rate * queries, 0.0, None, f"{basis}: {rate:g} s per query of the report")


def _seconds(
    artifact: Artifact | None, now: Load, then: Load, speeds: Speeds, given: float | None
) -> tuple[float | None, str]:
    """Seconds for the load ``then``, and the rate they rest on.

    Multiply-adds are taken out of what was measured at the speed of a plain matrix product, never more than there is,
    and grown by themselves.
    """
    fast = speeds.seconds(then)
    if given is not None:
        return given * then.rows + fast, f"given: {given:g} s per {then.unit}{_of_products(then, fast)}"
    measured = _measured(artifact)
    rows = _computed(artifact, now.rows)
    if artifact is None or not rows or not sum(measured.values()):
        return None, f"nothing measured here; give seconds_per_row (per {then.unit}) or run it on a sample"
    fast_now = min(measured["compute"], speeds.seconds(now))
    if fast_now:
        fast *= fast_now / speeds.seconds(now)
    steady = (measured["compute"] - fast_now) * then.rows / rows
    read_now, read_then = now.read_rows or rows, then.read_rows or then.rows
    around = measured["around"] * read_then / max(1.0, read_now)
    basis = f"{sum(measured.values()):,.1f} s for {_number(rows, now.unit)} here"
    return steady + around + fast, basis + _of_products(then, fast)


def _plural(unit: str) -> str:
    return f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"


def _of_products(load: Load, seconds: float) -> str:
    products = load.products + load.accelerator_products
    return f"; {products:.1e} multiply-adds take {seconds:,.0f} s of it" if products and seconds >= 1 else ""


def _measured(artifact: Artifact | None) -> dict[str, float]:
    """Seconds of computing and of all else, without those of reranking, which has a line of its own."""
    seconds: Mapping[str, float] = artifact.summary["seconds"] if artifact else {}
    reranking = float(artifact.details.get(RERANKING, {}).get("spent_s", 0.0)) if artifact else 0.0
    compute = max(0.0, seconds.get("compute", 0.0) - reranking)
    return {"compute": compute, "around": max(0.0, sum(seconds.values()) - reranking - compute)}


def _computed(artifact: Artifact | None, rows: float) -> float:
    """Rows that the measured seconds were spent on, without those reused from an earlier run."""
    details: dict[str, Any] = artifact.details if artifact else {}
    if details.get("triplets_per_s"):
        return float(details["triplets_per_s"]) * _measured(artifact)["compute"]
    return float(details.get("computed", details.get("encoded", rows)))


def _rows(artifact: Artifact | None, otherwise: float) -> float:
    return float(artifact.summary["rows"]) if artifact else otherwise


def _disk(artifact: Artifact | None, rows_factor: float, images_factor: float) -> float | None:
    """Bytes of the artefact's files: tables grow with its rows, vectors with the images, models and pages not."""
    if artifact is None:
        return None
    total = 0.0
    for name, recorded in artifact.summary["files"].items():
        grows = rows_factor if name.endswith(GROWS_WITH_ROWS) else images_factor
        total += recorded["bytes"] * (grows if name.endswith(GROWS_WITH_ROWS + GROWS_WITH_IMAGES) else 1)
    return total


def _cached(store: Store) -> float:
    """Bytes of the results kept per picture, those of the store's other recipes included."""
    return sum(path.stat().st_size for path in (store.root / "rows").rglob("part-*.parquet"))


def products_per_s() -> float:
    """Float32 multiply-adds per second of this machine's processor, by the best of a few matrix products."""
    import numpy as np

    rows, block = np.ones((256, 512), np.float32), np.ones((512, 4096), np.float32)
    return _best(lambda: rows @ block, 256 * 512 * 4096, tries=50)


def accelerator_products_per_s() -> float | None:
    """Float32 multiply-adds per second of the first GPU; None without a GPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    rows, block = torch.ones(4096, 512, device="cuda"), torch.ones(512, 65536, device="cuda")

    def product() -> None:
        rows @ block
        torch.cuda.synchronize()

    return _best(product, 4096 * 512 * 65536)


def _best(product: Any, multiply_adds: int, tries: int = 5) -> float:
    """Multiply-adds per second of the fastest try; many short ones find a moment in which nothing else runs."""
    seconds = math.inf
    for _ in range(tries):
        started = time.perf_counter()
        product()
        seconds = min(seconds, time.perf_counter() - started)
    return multiply_adds / seconds
