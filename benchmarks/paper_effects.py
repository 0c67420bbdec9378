"""Which of the paper's claims hold where we can train: positives help, negatives help, both add up, which negatives.

Needs a folder of pictures with ``metadata.csv`` (a title, a column that names the evaluation pictures) and
``queries.csv``, and a file of true triplets, which are the annotated set. A broken run goes on where it ended:

    python benchmarks/paper_effects.py icons/pictures --triplets icons/true_triplets.csv --store effects/ --seeds 0 1 2

The published structure is in ``paper_effects.toml``. In-batch training for as long as stage 2 is the control of every
row with a bank. A seed is finished before the next one begins.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from spn4cir_core.ablation.grid import Grid, Result, load_grid, run_grid
from spn4cir_core.ablation.table import estimate
from spn4cir_core.engine.progress import silent
from spn4cir_core.evaluation.recall import bootstrap_means, hits_at, interval
from spn4cir_core.recipe import merge
from spn4cir_core.store.artifacts import Artifact, Store

GRID = Path(__file__).with_suffix(".toml")
KS = (1, 5, 10)
DRAWS = 2000
Trained = tuple[str, str]
"""Level of the grid, model."""
Claim = tuple[str, Trained, Trained]
"""What is claimed, what is better, what it is better than."""
IN_BATCH: Trained = ("true", "control")
LONG: Trained = ("long: true", "control")
TARGETS: Trained = ("true, targets replaced", "stage1")
CLAIMS: tuple[Claim, ...] = (
    ("positives help, in batch: published", ("+ published", "control"), IN_BATCH),
    ("positives help, in batch: ours", ("+ ours", "control"), IN_BATCH),
    ("the bank helps: true triplets alone", ("true", "stage2"), IN_BATCH),
    ("the bank helps: with published", ("+ published", "stage2"), ("+ published", "control")),
    ("the bank helps: with ours", ("+ ours", "stage2"), ("+ ours", "control")),
    ("the guarded bank helps: true triplets alone", ("true, guards", "stage2"), IN_BATCH),
    ("the guarded bank helps: with published", ("+ published, guards", "stage2"), ("+ published", "control")),
    ("the guarded bank helps: with ours", ("+ ours, guards", "stage2"), ("+ ours", "control")),
    ("both beat neither: published", ("+ published", "stage2"), IN_BATCH),
    ("both beat neither: ours", ("+ ours", "stage2"), IN_BATCH),
    ("both beat neither: ours, guarded", ("+ ours, guards", "stage2"), IN_BATCH),
    ("both beat the bank alone: published", ("+ published", "stage2"), ("true", "stage2")),
    ("both beat the bank alone: ours", ("+ ours", "stage2"), ("true", "stage2")),
    ("frozen targets help, in batch: true", ("true, stage 2 in batch", "stage2"), IN_BATCH),
    ("frozen targets help, in batch: with ours", ("+ ours, stage 2 in batch", "stage2"), ("+ ours", "control")),
    ("bank beats batch, targets frozen: true", ("true", "stage2"), ("true, stage 2 in batch", "stage2")),
    ("bank beats batch, targets frozen: ours", ("+ ours", "stage2"), ("+ ours, stage 2 in batch", "stage2")),
    (
        "the same at a tenth of the rate: true",
        ("true, slow stage 2", "stage2"),
        ("true, slow stage 2 in batch", "stage2"),
    ),
    (
        "the same at a tenth of the rate: ours",
        ("+ ours, slow stage 2", "stage2"),
        ("+ ours, slow stage 2 in batch", "stage2"),
    ),
    ("twice the steps, positives, in batch: ours", ("long: + ours", "control"), LONG),
    ("twice the steps, the bank: true triplets alone", ("long: true", "stage2"), LONG),
    ("twice the steps, the bank: with ours", ("long: + ours", "stage2"), ("long: + ours", "control")),
    ("twice the steps, both beat neither: ours", ("long: + ours", "stage2"), LONG),
    ("replaced targets beat references", TARGETS, ("true, references replaced", "stage1")),
    ("replaced targets beat texts", TARGETS, ("true, texts replaced", "stage1")),
    ("replaced targets beat pairs of both", TARGETS, ("true, queries replaced", "stage1")),
)


@dataclass(frozen=True)
class Hits:
    """Which targets a trained network has among its first hits: of Q queries at K cut-offs."""

    by_seed: dict[int, np.ndarray]
    """(Q, K) of 0 and 1."""
    references: list[str]
    """(Q,) reference image of each query."""


def corpus_with_triplets(pictures: Path, triplets: Path, folder: Path) -> Path:
    """A copy of the pictures and their tables, with the true triplets as the corpus's annotated ones."""
    if not folder.is_dir():
        scratch = folder.with_suffix(".part")
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(pictures, scratch, copy_function=shutil.copyfile)
        shutil.copyfile(triplets, scratch / "triplets.csv")
        scratch.rename(folder)
    return folder


def hits_of(report: Artifact, model: str) -> tuple[np.ndarray, list[str]]:
    """(Q, K) hits of the composed queries, in the order of their ids, and their references."""
    ranks = report.table("ranks.parquet").filter((pc.field("model") == model) & (pc.field("query") == "composed"))
    ranks = ranks.sort_by("query_id")
    queries = report.table("queries.parquet").select(["query_id", "reference_id"]).sort_by("query_id")
    assert queries["query_id"].to_pylist() == ranks["query_id"].to_pylist()
    return hits_at(ranks["rank"].to_numpy(), KS), queries["reference_id"].to_pylist()


def models_of(level: str) -> Sequence[str]:
    """The networks that a level alone has: after a comma it names what it changes, in stage 2 or, where parts are
    replaced, in stage 1, with which its training ends."""
    return ("stage1",) if "replaced" in level else ("stage1", "control", "stage2")[2 * ("," in level) :]


def all_hits(results: Sequence[Result], store: Store) -> dict[Trained, Hits]:
    """The hits of all that was trained, by level and model, each once."""
    hits: dict[Trained, Hits] = {}
    for result in results:
        report, level = store.current(result.recipe, "eval_report"), result.levels["training"]
        for model in models_of(level) if report else ():
            hits_QK, references = hits_of(report, model)  # type: ignore[arg-type]
            hits.setdefault((level, model), Hits({}, references)).by_seed[result.seed] = hits_QK
    return hits


def tables(hits: Mapping[Trained, Hits], claims: Iterable[Claim] = CLAIMS) -> str:
    """Recall of everything trained, and the claims (default: the paper's) as paired differences in points.

    A difference has two 95 % intervals: Student's t over seeds, and the bootstrap over queries (those of one reference
    picture drawn together), hits averaged over seeds. A claim holds where neither reaches 0. ± is the standard
    deviation over seeds.
    """
    lines = ["| training triplets | model | R@1 | R@5 | R@10 | seeds |", "|---|---|---|---|---|---|"]
    for (level, model), network in hits.items():
        recalls = " | ".join(_mean(list(network.by_seed.values()), k) for k in range(len(KS)))
        lines.append(f"| {level} | {model} | {recalls} | {len(network.by_seed)} |")
    lines += ["", "| claim | R@1: over seeds; over queries | R@10 | holds |", "|---|---|---|---|"]
    for claim, one, other in claims:
        if one in hits and other in hits and (seeds := sorted(hits[one].by_seed.keys() & hits[other].by_seed.keys())):
            lines.append(_compared(claim, hits[one], hits[other], seeds))
    return "\n".join(lines)


def _compared(claim: str, one: Hits, other: Hits, seeds: Sequence[int]) -> str:
    differences = [100 * (one.by_seed[seed] - other.by_seed[seed]) for seed in seeds]
    drawn = bootstrap_means(np.mean(differences, axis=0), one.references, DRAWS, 0)
    lows, highs = interval(drawn)
    cells, verdicts = [], []
    for k in (0, KS.index(10)):
        alone = (float(lows[k]), float(highs[k]))
        over_seeds = estimate([float(difference[:, k].mean()) for difference in differences], alone, (-100, 100))
        low, high = min(over_seeds.low, alone[0]), max(over_seeds.high, alone[1])
        verdicts.append("yes" if low > 0 else "no: it hurts" if high < 0 else "not beyond chance")
        ranges = [f"{over_seeds.low:+.1f} to {over_seeds.high:+.1f}", f"{alone[0]:+.1f} to {alone[1]:+.1f}"]
        cells.append(f"{over_seeds.mean:+.1f} ({'; '.join(ranges)})")
    line = f"| {claim} | {' | '.join(cells)} | {'; at 10 '.join(dict.fromkeys(verdicts))} |"
    return line.replace("-", "−")


def _mean(seeds: Sequence[np.ndarray], k: int) -> str:
    recalls = [100 * hits_QK[:, k].mean() for hits_QK in seeds]
    return f"{np.mean(recalls):.1f}" + (f" ± {np.std(recalls, ddof=1):.1f}" if len(recalls) > 1 else "")


def main() -> None:
    """Prepare the corpus, run the grid seed by seed, write both tables after each cell."""
    given = command_line(__doc__, "effects").parse_args()
    given.store.mkdir(parents=True, exist_ok=True)
    folder = corpus_with_triplets(given.pictures, given.triplets, given.store.absolute() / "corpus")
    grid, store, started = grid_on(folder, given.split_column, given.share), Store(given.store), time.monotonic()
    finished: list[Result] = []

    def write(results: Sequence[Result], cells: int, seconds: float) -> None:
        last, minutes = results[-1], (time.monotonic() - started) / 60
        print(
            f"seed {last.seed}, {len(results)} of {cells}, {minutes:.1f} min: {last.error or last.levels}", flush=True
        )
        text = tables(all_hits([*finished, *results], store))
        (given.store / "paper_effects.md").write_text(text + "\n", encoding="utf-8")

    for seed in given.seeds:
        finished += run_grid(grid.model_copy(update={"seeds": (seed,)}), store, silent, write)
    print(tables(all_hits(finished, store)))


def command_line(description: str | None, store: str) -> argparse.ArgumentParser:
    """The options of a run over a folder of pictures and its true triplets."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--triplets", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path(store))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--split-column", default="keep_in", help="Metadata column that names the evaluation pictures.")
    parser.add_argument("--share", type=float, default=1.0, help="Part of the grid's steps, for a quick look.")
    return parser


def grid_on(folder: Path, split_column: str, share: float = 1.0) -> Grid:
    """The grid over the pictures of a folder, with a share of its steps."""
    grid = load_grid(GRID)
    reader = {"kind": "folder", "folder": str(folder), "split_column": split_column}
    levels = {name: shortened(level, share) for name, level in grid.axes["training"].items()}
    recipe = shortened(merge(grid.recipe, {"images": {"reader": reader}}), share)
    return grid.model_copy(update={"axes": {"training": levels}, "recipe": recipe})


def shortened(tables: dict, share: float) -> dict:  # type: ignore[type-arg]
    """The tables with their numbers of steps multiplied by a share."""
    return {
        key: shortened(value, share) if isinstance(value, dict) else round(value * share) if key == "steps" else value
        for key, value in tables.items()
    }


if __name__ == "__main__":
    main()
