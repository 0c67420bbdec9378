"""What is served, stage by stage and channel by channel, on five corpora over seeds. Prints Markdown.

    python benchmarks/reference_counts.py --data DATA --out DIR --seeds 0 1 2

DATA holds ``icons/`` (drawn pictures with titles and exact composed queries) and ``clothing/`` (photographs with a
label and a contributor). Each corpus and seed that is finished leaves a JSON file below ``DIR/results/``, and the store
keeps the stages: started again, the command goes on where it ended. Recipes are those that are shipped; overridden is
only where pictures, splits and captions come from. Queries that are reported are read by the report alone.

    --shuffled          half of the training pairs get the modified texts of another one
    --captions-of       the blend of a finished run, with the captions of ever fewer gallery pictures
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from spn4cir_core.ablation.grid import needed_stages
from spn4cir_core.ablation.table import estimate
from spn4cir_core.engine.stage import Work
from spn4cir_core.flow import STAGES
from spn4cir_core.launch.run_flow import run
from spn4cir_core.pairs.pair_table import read_pairs
from spn4cir_core.recipe import Recipe, load_recipe, merge
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.remote_store import open_store
from spn4cir_core.store.whole_file import whole_file
from spn4cir_core.texts.stages import write_texts
from spn4cir_core.texts.text_table import MODIFIED_TEXTS_FILE
from spn4cir_core.training.roles import BLEND, CONTROL, ROLES, STAGE1, STAGE2, TRAINED
from spn4cir_core.triplets.stage import TRAIN

MODELS = {"stage 1": STAGE1.name, "control": CONTROL.name, "stage 2": STAGE2.name, "served": BLEND.name}
SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)


@dataclass(frozen=True)
class Corpus:
    """One row of the table."""

    title: str
    recipe: str
    query_set: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    build: Callable[[Path, Path], None] | None = None
    """Fills a folder of pictures from the data; None: the recipe draws its own."""
    kinds: tuple[str, ...] = ("all",)


def icons(data: Path, folder: Path, titled: Callable[[Mapping[str, str]], bool]) -> None:
    """The pictograms with the titles of some of them; ``keep_in`` names the pictures that are for evaluation."""
    source = data / "icons" / "pictures"
    _copy(source.glob("*.png"), folder)
    shutil.copyfile(source / "queries.csv", folder / "queries.csv")
    with (source / "metadata.csv").open(newline="") as rows, (folder / "metadata.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["file", "title", "keep_in"])
        for row in csv.DictReader(rows):
            split = "evaluation" if row["keep_in"] == "evaluation" else ""
            writer.writerow([row["file"], row["title"] if titled(row) else "", split])


def clothing(data: Path, folder: Path) -> None:
    """The photographs with their labels and contributors, and no title."""
    (folder / "images").mkdir(exist_ok=True)
    _copy((data / "clothing" / "images").glob("*.jpg"), folder / "images")
    shutil.copyfile(data / "clothing" / "metadata.csv", folder / "metadata.csv")


def _copy(files: Iterable[Path], folder: Path) -> None:
    for file in files:
        shutil.copyfile(file, folder / file.name)


ICONS = {
    "images": {"reader": {"kind": "folder", "split_column": "keep_in"}},
    "splits": {"validation_share": 0.15, "evaluation_share": 0.0},
    "eval_report": {"evaluators": [{"kind": "annotated"}], "gallery_pictures": 0},
}
CLOTHING = {
    "images": {"reader": {"kind": "folder", "group_column": "contributor_id"}},
    "splits": {"groups_are": "sources"},
    "eval_report": {"evaluators": [{"kind": "labels", "label": "label"}], "gallery_pictures": 0},
}
DRAWN = {"eval_report": {"evaluators": [{"kind": "annotated"}], "gallery_pictures": 0}}
CORPORA = {
    "icons_train": Corpus(
        "icons, titles of the training split only",
        "folder",
        "annotated",
        ICONS,
        lambda data, folder: icons(data, folder, lambda row: row["keep_in"] != "evaluation"),
    ),
    "clothing_tags": Corpus(
        "clothing, tags only", "folder", "labels", CLOTHING, clothing, kinds=("all", "colour", "label")
    ),
    "icons_all": Corpus(
        "icons, titles for all",
        "folder",
        "annotated",
        ICONS,
        lambda data, folder: icons(data, folder, lambda row: True),
    ),
    "clothing_labels": Corpus(
        "clothing, human label as caption source",
        "folder",
        "labels",
        merge(CLOTHING, {"captions": {"captioner": {"kind": "tags", "label_attribute": "label"}}}),
        clothing,
        kinds=("all", "colour", "label"),
    ),
    "shapes": Corpus(
        "shapes, no annotation",
        "demo",
        "annotated",
        merge(
            DRAWN,
            {
                "triplets": {"origins": ["generated"]},
                "stage1_checkpoint": {"steps": 800, "validation": {"queries": "caption_edits"}},
                "stage2_checkpoint": {"steps": 300, "validation": {"queries": "caption_edits"}},
            },
        ),
    ),
    "demo": Corpus("demo as shipped", "demo", "annotated", DRAWN),
}


def measure(corpus: Corpus, name: str, seed: int, data: Path, out: Path, shuffled: bool) -> dict[str, Any]:
    """Run the flow up to the report, and read from it all that the table shows."""
    started = time.monotonic()
    recipe = recipe_for(corpus, name + ("_shuffled" if shuffled else ""), seed, folder_of(corpus, name, data, out))
    if shuffled:
        STAGES["modified_texts"] = replace(STAGES["modified_texts"], version=1_000_000, write=write_shuffled)
    artifacts = run(recipe, open_store(str(out / "store")), needed_stages(), shown_progress, shown_stage)
    return read_report(corpus, artifacts) | {"seed": seed, "minutes": round((time.monotonic() - started) / 60, 1)}


def recipe_for(corpus: Corpus, name: str, seed: int, folder: Path | None) -> Recipe:
    own: dict[str, Any] = {"name": f"{name}_{seed}", "seed": seed}
    if folder is not None:
        own["images"] = {"reader": {"kind": "folder", "folder": str(folder)}}
    return load_recipe(corpus.recipe, merge(corpus.overrides, own))


def folder_of(corpus: Corpus, name: str, data: Path, out: Path) -> Path | None:
    """The corpus's folder, built at the first use; a broken copy is made anew."""
    folder = out / "corpora" / name
    if corpus.build is None or folder.is_dir():
        return folder if corpus.build else None
    scratch = out / "corpora" / f".{name}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    corpus.build(data, scratch)
    scratch.rename(folder)
    return folder


def write_shuffled(work: Work[Any]) -> None:
    """The ``modified_texts`` stage, after which half of the training pairs carry the texts of another one."""
    import pyarrow.parquet as pq

    write_texts(work)
    table = pq.read_table(work.draft.path / MODIFIED_TEXTS_FILE)
    pairs = read_pairs(work.parents["pairs"], "pair_id", "split").to_pylist()
    trained_on = {pair["pair_id"] for pair in pairs if pair["split"] == TRAIN}
    training = [row for row, pair_id in enumerate(table["pair_id"].to_pylist()) if pair_id in trained_on]
    drawn_P = np.random.default_rng(work.settings.seed).choice(training, len(training) // 2, replace=False)
    row_N = np.arange(len(table))
    row_N[drawn_P] = np.roll(drawn_P, 1)
    column = table.column_names.index("modified_texts")
    shuffled = table.set_column(column, table.schema.field(column), table["modified_texts"].take(pa.array(row_N)))
    work.draft.write_table(shuffled, MODIFIED_TEXTS_FILE)


def read_report(corpus: Corpus, artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """Recall@1, 5 and 10 and mAP@10 of each model and mode, in per cent; the weights; how stages differ."""
    report, blend = artifacts["eval_report"], artifacts["blend"].details
    measures: dict[str, dict[str, float]] = {}
    for table, measure_name in (("recall", "recall"), ("mean_average_precision", "mean_average_precision")):
        for row in report.table(f"{table}.parquet").to_pylist():
            if row["query_set"] == corpus.query_set and row["kind"] in corpus.kinds and row["k"] <= 10:
                short = "R" if table == "recall" else "mAP"
                key = f"{row['kind']} | {row['model']} | {row['query']}"
                measures.setdefault(key, {})[f"{short}@{row['k']}"] = 100 * row[measure_name]
    differences = [
        {**row, "difference": 100 * row["difference"], "low": 100 * row["low"], "high": 100 * row["high"]}
        for row in report.table("differences.parquet").to_pylist()
        if row["query_set"] == corpus.query_set and row["kind"] == "all" and row["k"] == 1
        if row["query"] == row["minus_query"] == "composed" and row["model"] == STAGE2.name
    ]
    return {
        "report": report.fingerprint,
        "queries": report.details["queries"][corpus.query_set],
        "measures": measures,
        "stage 2 minus": {ROLES[row["minus_model"]].label: row for row in differences},
        "blend": blend,
        "triplets": artifacts["triplets"].summary["rows"],
        "validation": {role.label: artifacts[role.artifact].details.get("validation") for role in TRAINED.values()},
    }


def shown_progress(label: str, done: int, total: int) -> None:
    """Nothing: stages speak when they end."""


def shown_stage(artifact: Artifact, reused: bool) -> None:
    print(f"  {artifact.noun:<20} {'there already' if reused else 'made'}", file=sys.stderr, flush=True)


def table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Two tables: the models and what is served; what is served without each channel."""
    heads = ["corpus", "seeds", "frozen picture", *MODELS]
    lines = [_row([*heads, "stage 2 − stage 1", "stage 2 − control"]), _row(["---"] * (len(heads) + 2))]
    rows = [(name, kind, what) for name in results for kind in CORPORA[name].kinds for what in _figures(name)]
    for name, kind, what in rows:
        runs = results[name]
        keys = [f"{kind} | blend | only picture", *(f"{kind} | {model} | composed" for model in MODELS.values())]
        title = f"{CORPORA[name].title}{'' if kind == 'all' else f': {kind} queries'}, {what}"
        cells = [_interval([run["measures"][key][what] for run in runs if key in run["measures"]]) for key in keys]
        gains = [_differences(runs, label) if what == "R@1" and kind == "all" else "" for label in (STAGE1, CONTROL)]
        lines.append(_row([title, " ".join(str(run["seed"]) for run in runs), *cells, *gains]))
    lines += ["", *_channels(results)]
    return "\n".join(lines)


def _figures(name: str) -> tuple[str, ...]:
    return ("R@1", "mAP@10") if CORPORA[name].query_set == "labels" else ("R@1",)


def _channels(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    names = list(dict.fromkeys(name for runs in results.values() for run in runs for name in run["blend"]["weights"]))
    lines = [_row(["served without, R@1", *names]), _row(["---"] * (len(names) + 1))]
    for name, runs in results.items():
        cells = []
        for channel in names:
            key = f"all | blend | without {channel}"
            cells.append(_interval([run["measures"][key]["R@1"] for run in runs if key in run["measures"]]))
        lines.append(_row([CORPORA[name].title, *cells]))
    return lines


def _differences(runs: Sequence[Mapping[str, Any]], role: Any) -> str:
    rows = [run["stage 2 minus"].get(role.label) for run in runs]
    return ", ".join(
        "=" if row["low"] == row["high"] == 0 else f"{row['difference']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f})"
        for row in rows
        if row
    )


def _interval(values: Sequence[float]) -> str:
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.1f}"
    own = estimate(values, (values[0], values[0]), (0.0, 100.0))
    return f"{own.mean:.1f} ({own.low:.1f} to {own.high:.1f})"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def with_fewer_captions(name: str, seed: int, out: Path) -> str:
    """Recall@1 of a finished run's blend as ever fewer pictures of the gallery, references included, keep a caption.

    Networks and weights are those of the run: what was trained and fitted on does not change.
    """
    from spn4cir_core.blend.evidence import Evidence
    from spn4cir_core.blend.fitted import in_parts, read_blend
    from spn4cir_core.evaluation.annotated import Annotated
    from spn4cir_core.evaluation.encode import encode_gallery, encode_queries
    from spn4cir_core.images.files import image_files
    from spn4cir_core.images.manifest import PICTURE, read_manifest
    from spn4cir_core.training.checkpoints import load_checkpoint
    from spn4cir_core.training.image_inputs import image_inputs

    store = open_store(str(out / "store"))
    recipe = recipe_for(CORPORA[name], name, seed, out / "corpora" / name if CORPORA[name].build else None)
    artifacts = {stage: _current(store, recipe.name, stage) for stage in needed_stages()}
    blend, files = read_blend(artifacts["blend"]), image_files(recipe.images, store)
    evidence = Evidence.of(
        artifacts["captions"], artifacts["image_embeddings"], blend.sentence_encoder, store, blend.caption_sources
    )
    query_set = Annotated().query_sets(artifacts, files, seed)[0]
    manifest = read_manifest(artifacts["images"], *PICTURE)
    row_of = {image_id: row for row, image_id in enumerate(manifest["image_id"].to_pylist())}
    images = manifest.take(pa.array([row_of[image_id] for image_id in query_set.gallery_ids], pa.int64()))
    row_in_gallery = {image_id: row for row, image_id in enumerate(query_set.gallery_ids)}
    queries = query_set.queries
    references = [row_in_gallery[query.reference_id] for query in queries]
    texts = [query.modified_text for query in queries]
    targets = [{row_in_gallery[image_id] for image_id in query.target_ids} for query in queries]
    targets_of, vectors_of = {}, {}
    for model in [blend.names[number] for number in blend.used if blend.names[number] in ROLES]:
        checkpoint = load_checkpoint(artifacts[ROLES[model].artifact])
        inputs_N = image_inputs(checkpoint.backbone, checkpoint.network, images, files, store)
        targets_of[model] = encode_gallery(checkpoint.network, inputs_N)
        vectors_of[model] = encode_queries(checkpoint.network, inputs_N, references, texts)["composed"]
    lines = [_row(["pictures of the gallery with a caption", "R@1 served"]), _row(["---", "---"])]
    order = np.random.default_rng(seed).permutation(len(query_set.gallery_ids)).tolist()
    for share in SHARES:
        captioned = {query_set.gallery_ids[row] for row in order[: int(np.ceil(share * len(order)))]}
        fewer = replace(evidence, captions={i: text for i, text in evidence.captions.items() if i in captioned})
        gallery, hits = fewer.gallery(query_set.gallery_ids, targets_of), 0
        for part in in_parts(len(queries)):
            ids = [query.reference_id for query in queries[part]]
            own = {model: vectors_QD[part] for model, vectors_QD in vectors_of.items()}
            score_QN = blend.blend.scores(gallery, fewer.queries(ids, texts[part], own))
            score_QN[np.arange(len(ids)), references[part]] = -np.inf
            hits += sum(int(best) in right for best, right in zip(score_QN.argmax(1), targets[part], strict=True))
        lines.append(_row([f"{100 * share:.0f} %", f"{100 * hits / len(queries):.1f}"]))
    return "\n".join(lines)


def _current(store: Store, recipe: str, stage: str) -> Artifact:
    artifact = store.current(recipe, stage)
    if artifact is None:
        raise SystemExit(f"recipe {recipe} has no {stage} in {store}; measure the corpus first")
    return artifact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument(
        "--captions-of", choices=[name for name, corpus in CORPORA.items() if corpus.query_set == "annotated"]
    )
    parser.add_argument("--only-print", action="store_true", help="the table of what is finished")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
    if options.captions_of:
        for seed in options.seeds:
            print(f"seed {seed}\n\n{with_fewer_captions(options.captions_of, seed, options.out)}\n")
        return
    folder = options.out / "results"
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[dict[str, Any]]] = {}
    for name, seed in ((name, seed) for name in options.corpora for seed in options.seeds):
        path = folder / f"{name}{'_shuffled' if options.shuffled else ''}_{seed}.json"
        if not path.is_file() and not options.only_print:
            print(f"{name}, seed {seed}", file=sys.stderr, flush=True)
            result = measure(CORPORA[name], name, seed, options.data, options.out, options.shuffled)
            with whole_file(path) as scratch:
                scratch.write_text(json.dumps(result, indent=1, default=str), encoding="utf-8")
        if path.is_file():
            results.setdefault(name, []).append(json.loads(path.read_text(encoding="utf-8")))
    print(table(results))


if __name__ == "__main__":
    main()
