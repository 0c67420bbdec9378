"""How the work of each stage grows with a corpus: rows that cost the same each, and multiply-adds that grow faster."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from spn4cir_core.index.neighbour_index import FLAT_UP_TO
from spn4cir_core.pairs.rank_window import window_in_ranks
from spn4cir_core.pairs.stage import choose_miner
from spn4cir_core.recipe import Recipe
from spn4cir_core.training.settings import Schedule

LISTS_VISITED = 32
"""Of an inverted file, where nothing else was measured."""
PASSES_OF_K_MEANS = 10
"""As FAISS trains inverted files; 40 rows a list."""


@dataclass(frozen=True)
class Corpus:
    """Counts of a corpus and of what was made from it."""

    images: float
    splits: Mapping[str, float]
    """Images of the splits ``train``, ``validation`` and ``evaluation``."""
    dimensions: int
    """Of the image embeddings."""
    pairs: float
    generated: float
    annotated: float
    """Triplets of the training split."""
    candidates: float
    excluded: Mapping[str, float]
    """Rows of false negatives for one triplet, by guard."""
    bank_dimensions: int
    """Of a candidate's vectors together."""
    queries: Mapping[str, float]
    """Of each query set."""
    lists_visited: int = LISTS_VISITED

    @property
    def triplets(self) -> float:
        """All triplets of the training split."""
        return self.generated + self.annotated

    @property
    def excluded_per_triplet(self) -> float:
        """Rows of false negatives for one triplet."""
        return sum(self.excluded.values())

    def grown(self, images: int, recipe: Recipe) -> Corpus:
        """The same corpus with that many images; what a setting of the recipe caps stays below it."""
        factor = images / max(1.0, self.images)
        most_excluded = recipe.false_negatives.most_per_guard
        fixed = {getattr(evaluator, "max_queries", None) for evaluator in recipe.eval_report.evaluators} | {1000, 2000}
        pairs = min(self.pairs * factor, recipe.pairs.max_pairs or math.inf)
        generated = self.generated * (pairs / self.pairs if self.pairs else factor)
        most_generated, most_annotated = recipe.triplets.max_generated, recipe.annotations.max_triplets
        return replace(
            self,
            images=images,
            splits={name: count * factor for name, count in self.splits.items()},
            pairs=pairs,
            generated=generated if most_generated is None else min(generated, most_generated),
            annotated=min(self.annotated * factor, math.inf if most_annotated is None else most_annotated),
            candidates=self.candidates * factor,
            excluded={guard: min(count * factor, most_excluded) for guard, count in self.excluded.items()},
            queries={name: count if count in fixed else count * factor for name, count in self.queries.items()},
        )


@dataclass(frozen=True)
class Load:
    """What one stage has to do."""

    rows: float
    unit: str
    products: float = 0.0
    """Multiply-adds beside the work on the rows."""
    read_rows: float | None = None
    """Where what is read and written is not the rows but, say, pictures."""


def _images(corpus: Corpus, recipe: Recipe) -> Load:
    return Load(corpus.images, "image")


def _fixed(corpus: Corpus, recipe: Recipe) -> Load:
    return Load(1, "run")


def _splits(corpus: Corpus, recipe: Recipe) -> Load:
    products = 0.0
    if "embedding" in recipe.splits.near_duplicates_by:
        full = corpus.images**2 * corpus.dimensions / 2
        products = full if corpus.images <= FLAT_UP_TO else _inverted_file(corpus.images, corpus)
    return Load(corpus.images, "image", products)


def _pairs(corpus: Corpus, recipe: Recipe) -> Load:
    products = 0.0
    for count in corpus.splits.values():
        window = window_in_ranks(recipe.pairs.window, round(count))
        if window is None:
            continue
        miner, landmarks = choose_miner(recipe.pairs, window)
        mode = miner.plugin_kind
        if mode == "landmarks":
            draws = recipe.pairs.per_reference / window.share
            products += count * (landmarks + draws) * corpus.dimensions
        elif mode == "neighbours" and count > FLAT_UP_TO:
            products += _inverted_file(count, corpus)
        else:
            products += count**2 * corpus.dimensions
    return Load(corpus.pairs, "pair", products)


def _inverted_file(rows: float, corpus: Corpus) -> float:
    """Train lists on a sample, put every row into one, and look for every row's neighbours in those visited."""
    lists = 4 * math.sqrt(rows)
    training = PASSES_OF_K_MEANS * 40 * lists * lists
    return (training + 2 * rows * lists + rows * corpus.lists_visited * rows / lists) * corpus.dimensions


def _texts(corpus: Corpus, recipe: Recipe) -> Load:
    return Load(corpus.pairs, "pair")


def _triplets(corpus: Corpus, recipe: Recipe) -> Load:
    ranker = recipe.triplets.ranker
    searches = 3 * min(corpus.splits.get("train", 0), ranker.max_candidates) if ranker else 0
    return Load(corpus.pairs, "pair", corpus.pairs * searches * corpus.dimensions)


def _false_negatives(corpus: Corpus, recipe: Recipe) -> Load:
    compared = "look_alike" in recipe.false_negatives.guards
    products = corpus.triplets * corpus.candidates * corpus.dimensions if compared else 0.0
    return Load(corpus.triplets * (1 + corpus.excluded_per_triplet), "row", products)


def _visits(corpus: Corpus, recipe: Recipe, schedule: Schedule) -> float:
    """Triplets that a training looks at, each as often as it does."""
    rows = schedule.batch_size * schedule.accumulate_batches
    epoch = corpus.generated + corpus.annotated * recipe.triplets.annotated_repeats
    return schedule.steps * rows if schedule.steps is not None else schedule.epochs * epoch


def _stage1(corpus: Corpus, recipe: Recipe) -> Load:
    return Load(_visits(corpus, recipe, recipe.stage1_checkpoint), "triplet visit", read_rows=corpus.candidates)


def _control(corpus: Corpus, recipe: Recipe) -> Load:
    return Load(_visits(corpus, recipe, recipe.stage2_checkpoint), "triplet visit", read_rows=corpus.candidates)


def _stage2(corpus: Corpus, recipe: Recipe) -> Load:
    visits = _visits(corpus, recipe, recipe.stage2_checkpoint)
    products = 2 * visits * corpus.candidates * corpus.bank_dimensions
    return Load(visits, "triplet visit", products, read_rows=corpus.candidates)


def _bank(corpus: Corpus, recipe: Recipe) -> Load:
    return Load(corpus.candidates, "candidate")


def _report(corpus: Corpus, recipe: Recipe) -> Load:
    """Three models, each asked in four ways, over the held-out images."""
    searches = 12 * sum(corpus.queries.values())
    gallery = corpus.splits.get("evaluation", 0)
    return Load(gallery, "held-out image", searches * gallery * corpus.bank_dimensions)


def _index(corpus: Corpus, recipe: Recipe) -> Load:
    products, settings = 0.0, recipe.search_index
    if corpus.images > settings.flat_up_to:
        lists = 4 * math.sqrt(corpus.images)
        products = (PASSES_OF_K_MEANS * 64 * lists + corpus.images) * lists * corpus.bank_dimensions
    return Load(corpus.images, "image", products)


LAWS: dict[str, Callable[[Corpus, Recipe], Load]] = {
    "images": _images,
    "templates": _fixed,
    "annotations": _images,
    "captions": _images,
    "image_embeddings": _images,
    "splits": _splits,
    "pairs": _pairs,
    "modified_texts": _texts,
    "triplets": _triplets,
    "false_negatives": _false_negatives,
    "stage1_checkpoint": _stage1,
    "control_checkpoint": _control,
    "candidate_bank": _bank,
    "stage2_checkpoint": _stage2,
    "eval_report": _report,
    "search_index": _index,
}
"""What each stage has to do for a corpus."""


def memory(stage: str, corpus: Corpus, recipe: Recipe) -> float:
    """Bytes that a stage holds at a time and that grow with the corpus; files that are mapped are not among them."""
    vectors, bank = corpus.images * corpus.dimensions * 4, corpus.candidates * corpus.bank_dimensions
    index = vectors / 2 if corpus.images > FLAT_UP_TO else vectors
    held = {
        "images": corpus.images * 3000,
        "captions": corpus.images * 1500,
        "image_embeddings": vectors + corpus.images * 600,
        "splits": corpus.images * 1200 + (index if corpus.images > FLAT_UP_TO else 0),
        "pairs": corpus.images * 1000 + (index if _by_neighbours(corpus, recipe) else 0),
        "modified_texts": corpus.pairs * 1500,
        "triplets": corpus.pairs * 3000,
        "false_negatives": corpus.triplets * 1500 + corpus.candidates * 500,
        "stage1_checkpoint": corpus.triplets * 1500,
        "control_checkpoint": corpus.triplets * 1500,
        "candidate_bank": bank * 4 / 64,
        "stage2_checkpoint": corpus.triplets * (1500 + 8 * corpus.excluded_per_triplet),
        "eval_report": corpus.splits.get("evaluation", 0) * corpus.bank_dimensions * 4 + corpus.images * 1500,
        "search_index": 2 * corpus.images * corpus.bank_dimensions * 4 + corpus.images * 1000,
    }
    return held.get(stage, corpus.images * 500)


def _by_neighbours(corpus: Corpus, recipe: Recipe) -> bool:
    window = window_in_ranks(recipe.pairs.window, round(corpus.splits.get("train", 0)))
    return window is not None and choose_miner(recipe.pairs, window)[0].plugin_kind == "neighbours"
