"""What soups bring: the mean of several trainings' weights against the best of them, both by validation queries alone.

Needs a folder of pictures with ``metadata.csv`` (a title, a column that names the evaluation pictures) and
``queries.csv``. Trainings differ in recipe (``soups.toml``) or in seed, and start from the same random weights, from
other random weights, or from one training that they continue. A broken run goes on where it ended:

    python -m benchmarks.soups icons/pictures --store soups/

The validation pictures are drawn once and written into the copied corpus, so that trainings of all seeds share them.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper_effects import KS, Claim, Hits, tables
from spn4cir_core.ablation.grid import load_grid
from spn4cir_core.engine.progress import silent
from spn4cir_core.evaluation.annotated import Annotated
from spn4cir_core.evaluation.base import QuerySet
from spn4cir_core.evaluation.measure import ask
from spn4cir_core.evaluation.recall import hits_at
from spn4cir_core.images.files import image_files
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.launch.run_flow import run
from spn4cir_core.operations.soup import write_soup
from spn4cir_core.recipe import Recipe, load_recipe, merge
from spn4cir_core.splits.split_tables import split_of_images
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import NETWORK, WEIGHTS, Checkpoint, as_module, load_checkpoint, read_checkpoint
from spn4cir_core.training.image_inputs import image_inputs
from spn4cir_core.training.soup import mean_of

GRID = Path(__file__).with_suffix(".toml")
STAGES = (
    "images", "annotations", "captions", "image_embeddings", "splits", "pairs", "templates", "modified_texts",
    "triplets", "stage1_checkpoint",
)  # fmt: skip
FIRST = "as it is"
FURTHER_STEPS = 150
GREEDY, UNIFORM, BEST, MEAN = "greedy soup", "mean of all", "best by validation", "each alone"
CLAIMS: tuple[tuple[str, str, str], ...] = (
    ("the greedy soup beats the best training", GREEDY, BEST),
    ("the mean of all beats the best training", UNIFORM, BEST),
    ("the best by validation beats each alone", BEST, MEAN),
)


@dataclass(frozen=True)
class Training:
    """One stage 1."""

    level: str
    seed: int
    continues: int | None = None
    """Seed of the training whose weights it starts from; None: random weights of its own seed."""

    @property
    def name(self) -> str:
        """As the store knows it."""
        start = "" if self.continues is None else f"_from_{self.continues}"
        return f"{self.level.replace(' ', '_')}_{self.seed}{start}"


def groups(levels: Sequence[str], seeds: int = 3) -> dict[str, dict[int, list[Training]]]:
    """Kind of soup → group → the trainings that are averaged."""
    each = range(seeds)
    return {
        "recipes, one random start": {group: [Training(level, group) for level in levels] for group in each},
        "seeds, random starts of their own": {
            group: [Training(FIRST, seed) for seed in range(3 * group, 3 * group + 3)] for group in each
        },
        "recipes, continuing one training": {
            group: [Training(level, group, group) for level in levels] for group in each
        },
        "seeds, continuing one training": {
            group: [Training(FIRST, seed, group) for seed in range(10 + 3 * group, 13 + 3 * group)] for group in each
        },
    }


class Trainings:
    """Trains what is asked for, and measures networks on the annotated queries."""

    def __init__(self, folder: Path, split_column: str, store: Store) -> None:
        grid = load_grid(GRID)
        self._levels, self._base, self.store = grid.axes["training"], grid.base, store
        reader = {"kind": "folder", "folder": str(folder), "split_column": split_column}
        self._tables = merge(grid.recipe, {"images": {"reader": reader}})
        self.artifacts: dict[str, dict[str, Artifact]] = {}

    def recipe(self, training: Training) -> Recipe:
        """Its settings."""
        own: dict[str, Any] = {"name": training.name, "seed": training.seed}
        if training.continues is not None:
            start = self.checkpoint(Training(FIRST, training.continues))
            own["stage1_checkpoint"] = {"start_from": str(start.path.absolute()), "steps": FURTHER_STEPS}
        return load_recipe(self._base, merge(merge(self._tables, self._levels[training.level]), own))

    def checkpoint(self, training: Training) -> Artifact:
        """Its checkpoint; trained where it is not there yet."""
        if training.name not in self.artifacts:
            self.artifacts[training.name] = run(self.recipe(training), self.store, STAGES, silent)
            print(f"trained {training.name}", flush=True)
        return self.artifacts[training.name]["stage1_checkpoint"]

    def finished(self, training: Training) -> Artifact:
        """Its checkpoint as the store has it, without a look at whether it is up to date."""
        made = {stage: self.store.current(training.name, stage) for stage in STAGES}
        self.artifacts[training.name] = {stage: artifact for stage, artifact in made.items() if artifact is not None}
        if len(self.artifacts[training.name]) < len(STAGES):
            raise SystemExit(f"{training.name} is not in {self.store}; run benchmarks/soups.py first")
        return self.artifacts[training.name]["stage1_checkpoint"]

    def hits(
        self, networks: Mapping[str, Checkpoint], query_sets: Sequence[QuerySet], modes: Sequence[str] = ("composed",)
    ) -> list[dict[tuple[str, str], np.ndarray]]:
        """For each query set: (network, mode) → (Q, K) hits."""
        parents = next(iter(self.artifacts.values()))
        manifest = read_manifest(parents["images"], *PICTURE)
        row_of = {image_id: row for row, image_id in enumerate(manifest["image_id"].to_pylist())}
        recipe = self.recipe(Training(FIRST, 0))

        def inputs_of(checkpoint: Checkpoint, image_ids: Sequence[str]) -> np.ndarray:
            images = manifest.take([row_of[image_id] for image_id in image_ids])
            files = image_files(recipe.images, self.store)
            return image_inputs(checkpoint.backbone, checkpoint.network, images, files, self.store)

        models = {name: lambda checkpoint=checkpoint: checkpoint for name, checkpoint in networks.items()}
        answers = ask(models, query_sets, inputs_of, silent)
        return [{key: hits_at(ranks_Q, KS) for key, ranks_Q in one.ranks.items() if key[1] in modes} for one in answers]

    def query_set(self) -> QuerySet:
        """The annotated queries over the evaluation pictures."""
        recipe = self.recipe(Training(FIRST, 0))
        parents = self.artifacts[Training(FIRST, 0).name]
        return Annotated().query_sets(parents, image_files(recipe.images, self.store), 0)[0]


def corpus_with_validation(pictures: Path, folder: Path, split_column: str) -> Path:
    """A copy of the pictures whose table also names the validation pictures: 15 % of the others, by whole things."""
    if folder.is_dir():
        return folder
    reader = {"kind": "folder", "folder": str(pictures.absolute()), "split_column": split_column}
    splits = {"validation_share": 0.15, "evaluation_share": 0.0, "hold_out": "things"}
    open_rows = {"images": {"reader": reader}, "splits": splits, "name": "draws_validation"}
    store = Store(folder.parent)
    with (pictures / "metadata.csv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    scratch = folder.with_suffix(".part")
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(pictures, scratch, copy_function=shutil.copyfile)
    _write(scratch, [{**row, split_column: _unless_train(row[split_column])} for row in rows])
    open_rows["images"] = {"reader": {**reader, "folder": str(scratch.absolute())}}
    recipe = load_recipe("folder", merge(open_rows, {"captions": load_grid(GRID).recipe["captions"]}))
    made = run(recipe, store, ["images", "annotations", "captions", "image_embeddings", "splits"], silent)
    split_of = split_of_images(made["splits"])
    manifest = read_manifest(made["images"], "image_id", "path")
    split_of_file = {
        Path(path).name: split_of[image_id]
        for image_id, path in zip(*(manifest[name].to_pylist() for name in ("image_id", "path")), strict=True)
    }
    _write(scratch, [{**row, split_column: split_of_file.get(Path(row["file"]).name, "train")} for row in rows])
    scratch.rename(folder)
    return folder


def _unless_train(split: str) -> str:
    return "" if split == "train" else split


def _write(folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def measure(trainings: Trainings, kinds: Mapping[str, Mapping[int, Sequence[Training]]], out: Path) -> str:
    """The tables: recall of soups and single trainings, and their differences; which trainings the soups hold."""
    hits: dict[tuple[str, str], Hits] = {}
    shares = []
    for kind, by_group in kinds.items():
        for group, members in by_group.items():
            checkpoints = {training.name: trainings.checkpoint(training) for training in members}
            first, *others = members
            folder = out / f"{kind} {group}".replace(",", "").replace(" ", "_")
            ingredients = write_soup(trainings.recipe(first), [other.name for other in others], trainings.store, folder)
            networks = {name: load_checkpoint(artifact) for name, artifact in checkpoints.items()}
            networks[GREEDY] = read_checkpoint(folder / NETWORK, folder / WEIGHTS, GREEDY)
            networks[UNIFORM] = _mean_network(list(checkpoints.values()))
            query_set = trainings.query_set()
            [measured] = trainings.hits(networks, [query_set])
            of_model = {model: hits_QK for (model, _), hits_QK in measured.items()}
            of_model[MEAN] = np.mean([of_model[name] for name in checkpoints], axis=0)
            of_model[BEST] = of_model[ingredients[0].name]
            references = [query.reference_id for query in query_set.queries]
            for model in (MEAN, BEST, UNIFORM, GREEDY):
                hits.setdefault((kind, model), Hits({}, references)).by_seed[group] = of_model[model]
            inside = [one for one in ingredients if one.is_in]
            shares.append(
                f"| {kind} | {group} | {len(inside)} of {len(ingredients)} | {100 * ingredients[0].alone:.1f} | "
                f"{100 * inside[-1].added:.1f} |"
            )
    claims: list[Claim] = [
        (f"{claim}: {kind}", (kind, one), (kind, other)) for kind in kinds for claim, one, other in CLAIMS
    ]
    head = "| trainings | group | in the soup | validation, best alone | validation, soup |\n|---|---|---|---|---|"
    return "\n".join([tables(hits, claims), "", head, *shares])


def _mean_network(checkpoints: Sequence[Artifact]) -> Checkpoint:
    from safetensors.torch import load_file

    mean = load_checkpoint(checkpoints[0])
    as_module(mean.network).load_state_dict(dict(mean_of([load_file(one.file(WEIGHTS)) for one in checkpoints])))
    return mean


def main() -> None:
    """Train, average, measure; print the tables and write them into the store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--store", type=Path, default=Path("soups"))
    parser.add_argument("--groups", type=int, default=3, help="Soups of each kind.")
    parser.add_argument("--split-column", default="keep_in", help="Metadata column that names the evaluation pictures.")
    given = parser.parse_args()
    given.store.mkdir(parents=True, exist_ok=True)
    folder = corpus_with_validation(given.pictures, given.store.absolute() / "corpus", given.split_column)
    trainings = Trainings(folder, given.split_column, Store(given.store))
    kinds = groups(list(load_grid(GRID).axes["training"]), given.groups)
    for training in itertools.chain.from_iterable(members for kind in kinds.values() for members in kind.values()):
        trainings.checkpoint(training)
    text = measure(trainings, kinds, given.store / "soups")
    (given.store / "soups.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
