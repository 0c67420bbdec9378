"""How narrow the interval becomes as simulated people work through the queue of the search page.

    python benchmarks/judge_queue.py --recipe icons --store store

A held-out edit's right answers are known (its target, its near-duplicates, and what has the same caption or stands for
the same text), so that a judge who answers by them is perfect; another one turns every tenth verdict round. Both work
through the queue that the page shows. The truth is the share of all queries of the queue whose first hit is right.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence

from spn4cir_core.evaluation.equivalents import Equivalents
from spn4cir_core.images.files import image_files
from spn4cir_core.judgements.agreement import JudgedQuery
from spn4cir_core.judgements.judgement import EVALUATION, one_line
from spn4cir_core.launch.recipe_source import named_in
from spn4cir_core.search.judging import Judging
from spn4cir_core.search.judging_queue import JudgingQueue, PooledQuery, pooled_queries
from spn4cir_core.search.models import Models
from spn4cir_core.search.service import SearchService
from spn4cir_core.splits.split_tables import split_of_images
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.roles import ModelName
from spn4cir_core.triplets.triplet_tables import read_triplets

COUNTS = (10, 25, 50, 75, 100, 150, 200)
RULES = ("near_duplicate", "same_caption", "same_text")
JUDGES = (("perfect", 1, 0.0), ("10 % wrong", 1, 0.1), ("majority of three, each 10 % wrong", 3, 0.1))
"""Name, how many judge every hit, and the share of their verdicts that is turned round."""
SEEDS = range(20)
SECONDS_A_HIT = 3.0
"""Assumed; not measured with people."""


def right_answers(judging: Judging, index: str, queries: Sequence[PooledQuery]) -> dict[str, set[str]]:
    """Right images by query id."""
    parents = {noun: judging.parent(index, noun) for noun in ("triplets", "splits", "captions")}
    triplets, splits, captions = (parents[noun] for noun in ("triplets", "splits", "captions"))
    assert triplets and splits and captions
    columns = ("triplet_id", "reference_id", "target_id", "modified_texts", "origin", "kind", "split")
    rows = [row for row in read_triplets(triplets, *columns).to_pylist() if row["split"] == EVALUATION]
    gallery = tuple(sorted(name for name, split in split_of_images(splits).items() if split == EVALUATION))
    equivalents = Equivalents(RULES, gallery, captions, splits, rows)
    right: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        for text in row["modified_texts"][:1]:
            right.setdefault((row["reference_id"], one_line(text)), set()).update(equivalents.targets(row))
    return {query.query_id: right[query.reference_id, query.modified_text] for query in queries}


def judged(query: PooledQuery, right: set[str], judges: int, wrong_share: float, chance: random.Random) -> JudgedQuery:
    """What an odd number of judges say of the pooled hits by majority."""
    wrong = {name: sum(chance.random() < wrong_share for _ in range(judges)) for name in query.pooled_ids}
    says = {name: (name in right) != (2 * count > judges) for name, count in wrong.items()}
    sides = [tuple(name for name, is_right in says.items() if is_right is side) for side in (True, False)]
    return JudgedQuery(
        query.query_id, (query.reference_id,), query.modified_text, EVALUATION, *sides, (), (), ("simulated",)
    )


def print_curve(
    queries: Sequence[PooledQuery],
    right: Mapping[str, set[str]],
    model: ModelName,
    judge: str,
    judges: int,
    wrong_share: float,
) -> None:
    """One row for each number of judged queries, averaged over orders and judges."""
    truth = sum(query.hits[model][0] in right[query.query_id] for query in queries) / len(queries)
    for count in (count for count in COUNTS if count <= len(queries)):
        shares, hits = [], 0
        for seed in SEEDS:
            queue, chance = JudgingQueue(queries, seed), random.Random(seed)
            done = queue.queries[:count]
            hits += sum(len(query.pooled_ids) for query in done)
            answers = [judged(query, right[query.query_id], judges, wrong_share, chance) for query in done]
            shares.append(queue.share_right(model, answers))
        value, width = (sum(getattr(share, name) for share in shares) / len(shares) for name in ("value", "half_width"))
        held = sum(share.low <= truth <= share.high for share in shares) / len(shares)
        minutes = judges * hits / len(SEEDS) * SECONDS_A_HIT / 60
        print(
            f"| {model} | {judge} | {count} | {minutes:.0f} | {100 * truth:.1f} | {100 * value:.1f} "
            f"| ± {100 * width:.1f} | {100 * held:.0f} % |",
            flush=True,
        )


def main() -> None:
    """Print the curve of every model and judge as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", required=True, help="Name of a recipe of the store.")
    parser.add_argument("--store", required=True)
    options = parser.parse_args()
    store = Store(options.store)
    recipe = named_in(options.recipe, store)
    assert recipe is not None, f"no recipe {options.recipe!r} in {store}"
    service = SearchService(Models.of_recipe(recipe.name, recipe.images, store), image_files(recipe.images, store))
    judging = Judging(store, recipe.name)
    queries = pooled_queries(service, judging)
    right = right_answers(judging, service.fingerprint, queries)
    print(f"{len(queries)} queries; first hits of all models agree in {sum(q.first_hits == 1 for q in queries)}\n")
    print("| model | judge | queries | minutes | truth | estimate | interval | holds the truth |")
    print("|---|---|---|---|---|---|---|---|")
    seen: list[list[tuple[str, ...]]] = []
    for model in queries[0].hits:
        if (hits := [query.hits[model] for query in queries]) in seen:
            continue  # a checkpoint equal to an earlier one
        seen.append(hits)
        for judge in JUDGES:
            print_curve(queries, right, model, *judge)


if __name__ == "__main__":
    main()
