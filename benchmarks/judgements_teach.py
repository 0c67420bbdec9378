"""What simulated judgements of search hits bring to the next training, over none: 0, 50, 200 and 800 of them.

Needs a folder of pictures with ``metadata.csv`` (a title, a column that names the evaluation pictures) and
``queries.csv``, and a file of true triplets, which only the judge knows. A broken run goes on where it ended:

    python -m benchmarks.judgements_teach icons/pictures --triplets icons/true_triplets.csv --store teach/ --seeds 0 1 2

The recipe is "+ ours, guards" of ``paper_effects.toml`` without its annotated triplets. The judge asks queries of
training pictures, in random order, of the search without judgements, and goes down its first hits as far as the right
one; wrong hits on the way are explicit negatives. Where none of them is right he says "none of these". The verdicts go
into the store's log, and a run reads them as it reads those of the page.
"""

from __future__ import annotations

import csv
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from benchmarks.paper_effects import Claim, Hits, Trained, command_line, grid_on, hits_of, tables
from spn4cir_core.ablation.grid import needed_stages
from spn4cir_core.api import open_searcher
from spn4cir_core.images.files import image_files
from spn4cir_core.judgements.agreement import JudgedQuery, judged_queries
from spn4cir_core.judgements.judgement import WHOLE_QUERY, Judgement, Purpose
from spn4cir_core.judgements.judgement_log import JudgementLog
from spn4cir_core.launch.run_flow import run
from spn4cir_core.objectives.base import OBJECTIVES
from spn4cir_core.recipe import Recipe, load_recipe, merge
from spn4cir_core.splits.split_tables import split_of_images
from spn4cir_core.store.artifacts import Store

COUNTS = (0, 50, 200, 800)
LEVEL = "+ ours, guards"
SHOWN = 10
"""Hits that the page shows."""
REPEATS = 8
"""Times a judged triplet appears in an epoch, as the demo's annotated ones do."""
MODELS = ("stage1", "control", "stage2")
Answers = Mapping[tuple[str, str], frozenset[str]]
"""Reference image and modified text → right images."""


def claims(weights: Sequence[float] = ()) -> Iterator[Claim]:
    """Every number of judgements against none; weighted explicit negatives against the same judgements without."""
    for model in MODELS:
        for count in COUNTS[1:]:
            yield f"{model}: {count} judgements over none", (str(count), model), ("0", model)
    most = str(COUNTS[-1])
    for weight in weights:
        yield f"stage2: explicit negatives × {weight}", (f"{most} × {weight}", "stage2"), (most, "stage2")


def with_explicit_negatives(recipe: Recipe, weight: float) -> Recipe:
    """The recipe whose stage 2 weighs the wrong hits of judged queries beside its own objective."""
    own = {"kind": recipe.stage2_checkpoint.objective.plugin_kind, **recipe.stage2_checkpoint.objective.model_dump()}
    parts = [own, {"kind": "explicit_negatives", "weight": weight}]
    objective = OBJECTIVES.build({"kind": "mixture", "parts": parts})
    stage2 = recipe.stage2_checkpoint.model_copy(update={"objective": objective})
    return recipe.model_copy(update={"stage2_checkpoint": stage2})


def recipe_with(pictures: Path, split_column: str, count: int, seed: int, share: float) -> Recipe:
    """The recipe that reads so many judgements; its name, under which they are logged, is its own."""
    grid = grid_on(pictures, split_column, share)
    own = {
        "name": f"teach_{count}_{seed}_{round(100 * share)}",
        "seed": seed,
        "triplets": {"annotated_repeats": REPEATS},
        "annotations": {"judgements_step": count},
    }
    return load_recipe(grid.base, merge(merge(grid.recipe, grid.axes["training"][LEVEL]), own))


def right_answers(triplets: Path, splits: Mapping[str, Purpose]) -> Answers:
    """Those of the true triplets whose images are all of the training split."""
    answers: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    with triplets.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if splits.get(row["reference"]) == splits.get(row["target"]) == "train":
                answers[row["reference"], row["modified_text"]].add(row["target"])
    return {query: frozenset(right) for query, right in answers.items()}


def judged(query: tuple[str, str], hit_ids: Sequence[str], right: frozenset[str]) -> list[Judgement]:
    """What the judge says of one query's hits, best first."""
    (reference, text), shown = query, tuple(hit_ids)
    first = next((rank for rank, image_id in enumerate(shown) if image_id in right), None)
    if first is None:
        return [Judgement((reference,), text, WHOLE_QUERY, "none", shown_ids=shown, judge="simulated")]
    return [
        Judgement((reference,), text, image_id, "right" if rank == first else "wrong", rank, judge="simulated")
        for rank, image_id in enumerate(shown[: first + 1])
    ]


def simulated(recipe: Recipe, store: Store, answers: Answers, splits: Mapping[str, Purpose]) -> list[Judgement]:
    """The judgements of the largest run, in the order of asking; those of a smaller run are their beginning."""
    queries = sorted(answers)
    random.Random(recipe.seed).shuffle(queries)
    queries = queries[: max(COUNTS)]
    references, texts = zip(*queries, strict=True)
    files = image_files(recipe.images, store)
    pictures = [files.open(name) for name in references]
    others = frozenset(image_id for image_id, split in splits.items() if split != "train")
    searcher = open_searcher(recipe, store)
    hits_of_queries = searcher.search_many(pictures, texts, SHOWN, others, reference_ids=references, once="all")
    judgements = [
        judgement
        for query, hits in zip(queries, hits_of_queries, strict=True)
        for judgement in judged(query, [hit.image_id for hit in hits], answers[query])
    ]
    return judgements[: max(COUNTS)]


def log_judgements(judgements: Sequence[Judgement], splits: Mapping[str, Purpose], recipe: Recipe, store: Store) -> str:
    """Write a recipe's own judgements, once, and say what they hold.

    Raises:
        SystemExit: the store holds others under this name.
    """
    log = JudgementLog(store, recipe.name)
    named = [replace(each, judgement_id=f"{recipe.name}/{number}") for number, each in enumerate(judgements)]
    log.add(named, {image_id: splits[image_id] for each in named for image_id in each.image_ids})
    if [replace(each, given_at="") for each in log.judgements()] != [replace(each, given_at="") for each in named]:
        raise SystemExit(f"{log.path} holds other judgements of {recipe.name}; give --store an empty folder")
    return counted(judged_queries(log.judgements(), log.purposes()), len(log))


def counted(queries: Sequence[JudgedQuery], judgements: int) -> str:
    """How many queries, positives and explicit negatives judgements hold; only queries with a right hit teach."""
    usable = [query for query in queries if query.right_ids]
    rights, wrongs = (sum(len(getattr(query, ids)) for query in usable) for ids in ("right_ids", "wrong_ids"))
    return f"{judgements} judgements: {len(queries)} queries, {rights} positives, {wrongs} explicit negatives"


def main() -> None:
    """Run seed after seed, and write the tables after each run."""
    parser = command_line(__doc__, "teach")
    parser.add_argument("--explicit", type=float, nargs="*", default=[], help="Weights of explicit negatives.")
    given = parser.parse_args()
    store, started, hits = Store(given.store), time.monotonic(), dict[Trained, Hits]()
    judgements, splits = list[Judgement](), dict[str, Purpose]()
    for seed, count in itertools.product(given.seeds, COUNTS):
        recipe = recipe_with(given.pictures.absolute(), given.split_column, count, seed, given.share)
        logged = log_judgements(judgements[:count], splits, recipe, store) if count else "no judgements"
        artifacts = run(recipe, store, [*needed_stages(), *([] if count else ["search_index"])])
        if not count:
            splits = cast("dict[str, Purpose]", split_of_images(artifacts["splits"]))
            judgements = simulated(recipe, store, right_answers(given.triplets, splits), splits)
        reports = {(str(count), model): artifacts["eval_report"] for model in MODELS}
        for weight in given.explicit if count == COUNTS[-1] else ():
            weighted = run(with_explicit_negatives(recipe, weight), store, ["stage2_checkpoint", "eval_report"])
            reports[f"{count} × {weight}", "stage2"] = weighted["eval_report"]
        for (level, model), report in reports.items():
            hits_QK, references = hits_of(report, model)
            hits.setdefault((level, model), Hits({}, references)).by_seed[seed] = hits_QK
        print(f"seed {seed}, {logged}, {(time.monotonic() - started) / 60:.1f} min", flush=True)
        text = tables(hits, claims(given.explicit)).replace("training triplets", "judgements")
        (given.store / "judgements_teach.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
