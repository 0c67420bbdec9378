"""Stage ``pairs``: reference and target images whose similarity rank lies in a window, split by split."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from spn4cir_core.annotations.annotation_tables import read_annotated_triplets
from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.embeddings.vectors import read_embeddings
from spn4cir_core.engine.growth import Corpus, Load
from spn4cir_core.engine.plugins import as_table
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import InputError
from spn4cir_core.images.manifest import manifest_column
from spn4cir_core.index.neighbour_index import FLAT_UP_TO, index_floats, inverted_file_products
from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.base import MINERS
from spn4cir_core.pairs.draws import draw, id_keys
from spn4cir_core.pairs.landmarks import landmarks_needed
from spn4cir_core.pairs.miner import Miner, MiningJob
from spn4cir_core.pairs.pair_table import PAIRS_FILE, SCHEMA
from spn4cir_core.pairs.picks import Picks, Vectors
from spn4cir_core.pairs.rank_window import RankWindow, window_in_ranks
from spn4cir_core.pairs.settings import PairSettings, PairsInput
from spn4cir_core.splits.components import components
from spn4cir_core.splits.split_tables import read_near_duplicates, split_of_images

log = logging.getLogger(__name__)
SPLITS = ("train", "validation", "evaluation")
SAMPLE_ROWS = 8


@dataclass(frozen=True)
class EmbeddedImages:
    """The images with a vector, in the order of the vectors, and what constrains their pairs."""

    vectors: np.ndarray
    image_ids: list[str]
    split: np.ndarray
    component: np.ndarray
    category: np.ndarray
    annotated_reference: np.ndarray
    annotated_target: np.ndarray
    """Row numbers of the annotated pairs."""
    captions: list[str] | None
    """Caption of each image, empty where it has none; None where the miner does not read captions."""


def write_pairs(work: Work[PairsInput]) -> None:
    """Fill the draft with ``pairs.parquet``, sorted by ``pair_id``.

    Raises:
        InputError: the window holds no image of the training split, or every pair in it is refused.
    """
    seed, draft = work.settings.seed, work.draft
    with draft.timed("read"):
        corpus = read_corpus(work)
    suited = _suited_to(corpus, work)
    settings = suited.pairs
    tables = []
    for split in SPLITS:
        rows = _ranked(corpus, split, settings)
        if not len(rows):
            continue
        window = _window(suited, len(rows))
        if window is None:
            if split == "train":
                raise InputError(_empty_window(settings, len(rows)))
            draft.drop(f"reference in a split too small for the window ({split})", len(rows))
            continue
        with draft.timed("compute"):
            table, details = _mine_split(corpus, split, rows, window, settings, seed, work)
        tables.append(table)
        draft.details.setdefault("splits", {})[split] = details
    with draft.timed("write"):
        pairs = _capped(pa.concat_tables(tables) if tables else SCHEMA.empty_table(), settings, seed, work)
        if not len(pairs):
            raise InputError(_all_refused(suited, dict(draft.drops)))
        draft.write_table(pairs.sort_by("pair_id"), PAIRS_FILE)
    draft.rows = len(pairs)
    draft.details.update(_overview(pairs, settings))


def read_corpus(work: Work[PairsInput]) -> EmbeddedImages:
    """Join the parents on the images that have a vector."""
    embeddings = read_embeddings(work.parents["image_embeddings"])
    ids, row = embeddings.image_ids, embeddings.row_of
    split_of = split_of_images(work.parents["splits"])
    category_of = manifest_column(work.parents["images"], "category")
    near = read_near_duplicates(work.parents["splits"], views=not work.settings.pairs.pair_views)
    near_rows = np.array([(row[a], row[b]) for a, b in near if a in row and b in row], np.int64).reshape(-1, 2)
    annotated = read_annotated_triplets(work.parents["annotations"], "reference_id", "target_id")
    references, targets = _rows_of(annotated["reference_id"], annotated["target_id"], row)
    return EmbeddedImages(
        embeddings.vectors_ND,
        ids,
        np.array([split_of.get(image_id, "") for image_id in ids]),
        near_duplicate_components(len(ids), *near_rows.T),
        np.unique([category_of.get(image_id) or "" for image_id in ids], return_inverse=True)[1],
        references,
        targets,
        _captions_of(ids, work),
    )


def _ranked(corpus: EmbeddedImages, split: str, settings: PairSettings) -> np.ndarray:
    """Row numbers of the images of a split that are ranked.

    Raises:
        InputError: only annotated ones are, and the training split has none.
    """
    of_split = np.flatnonzero(corpus.split == split)
    if settings.images == "split":
        return of_split
    rows = np.intersect1d(of_split, np.concatenate([corpus.annotated_reference, corpus.annotated_target]))
    if split == "train" and not len(rows):
        raise InputError(
            'pairs: images = "annotated", and no annotated triplet has a picture in the training split; add triplets, '
            'or rank all images with images = "split"'
        )
    return rows


def _suited_to(corpus: EmbeddedImages, work: Work[PairsInput]) -> PairsInput:
    """The tables with the miner that suits the captions of the training split as their mode."""
    if corpus.captions is None:
        return work.settings
    miner: Miner = MINERS.build(work.settings.pairs.mode)
    suited, why = miner.suited_to_captions([corpus.captions[row] for row in np.flatnonzero(corpus.split == "train")])
    if suited is miner:
        return work.settings
    work.draft.details["strategy"] = why
    log.info("pairs by %s: %s", why["positives"], why["why"])
    return work.settings.model_copy(update={"pairs": work.settings.pairs.model_copy(update={"mode": as_table(suited)})})


def _captions_of(image_ids: Sequence[str], work: Work[PairsInput]) -> list[str] | None:
    if not reads_captions(work.settings):
        return None
    caption_of = read_captions(work.parents["captions"])
    return [caption_of.get(image_id, "") for image_id in image_ids]


def reads_captions(tables: PairsInput) -> bool:
    """Whether captions decide which images are paired."""
    miner: Miner = MINERS.build(tables.pairs.mode)
    return miner.reads_captions


def _window(tables: PairsInput, images: int) -> RankWindow | None:
    """The window in ranks; of pairs by captions, all ranks among a reference's own targets."""
    if reads_captions(tables):
        others = max(1, images - 1)
        return RankWindow(0, min(tables.pairs.per_reference, others), others)
    return window_in_ranks(tables.pairs.window, images)


def near_duplicate_components(count: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Component of near-duplicates of each image; -1 for an image that has none."""
    labels = components(count, np.stack([left, right], axis=1)).astype(np.int64)
    return np.where(np.bincount(labels, minlength=count)[labels] == 1, -1, labels)


def choose_miner(settings: PairSettings, window: RankWindow) -> tuple[Miner, int]:
    """The miner for this window, and how many landmarks keep estimated ranks inside it.

    Raises:
        InputError: the window ends beyond what ``neighbours`` can reach.
    """
    landmarks = max(settings.landmarks, landmarks_needed(window))
    miner: Miner = MINERS.build(settings.mode).suited_to(window, landmarks)
    return miner, landmarks


def _mine_split(
    corpus: EmbeddedImages,
    split: str,
    rows: np.ndarray,
    window: RankWindow,
    settings: PairSettings,
    seed: int,
    work: Work[PairsInput],
) -> tuple[pa.Table, dict[str, Any]]:
    ids = [corpus.image_ids[row] for row in rows]
    local = np.full(len(corpus.image_ids), -1)
    local[rows] = np.arange(len(rows))
    left, right = local[corpus.annotated_reference], local[corpus.annotated_target]
    joined = (left >= 0) & (right >= 0)
    allowed = Allowed(
        settings.max_cosine,
        corpus.component[rows],
        np.unique(left[joined].astype(np.int64) * len(rows) + right[joined]),
        corpus.category[rows] if settings.same_category else np.zeros(len(rows), np.int64),
    )
    whole_corpus = len(rows) == len(corpus.image_ids)
    references = np.arange(len(rows)) if settings.references == "all" else np.unique(left[left >= 0])
    miner, landmarks = choose_miner(settings, window)
    job = MiningJob(
        Vectors(corpus.vectors, None if whole_corpus else rows),
        window,
        references,
        id_keys(ids, seed),
        settings.per_reference,
        allowed,
        landmarks,
        seed,
        ids,
        None if corpus.captions is None else [corpus.captions[row] for row in rows],
        lambda done: work.progress(f"mining pairs ({split})", done, len(references)),
    )
    picks, about = miner.mine(job)
    about = {"mode": miner.plugin_kind, **about}
    for reason, count in sorted(allowed.refused.items()):
        work.draft.drop(reason, count)
    missing = len(references) - len(np.unique(picks.reference))
    work.draft.drop("reference without an allowed target in its window", missing)
    about |= {
        "images": len(rows),
        "references": len(references),
        "pairs": len(picks.reference),
        "window_ranks": [window.first, window.end],
        "window_shares": [round(window.first / window.others, 4), round(window.end / window.others, 4)],
    }
    return _table(ids, picks, window, split), about


def _table(ids: Sequence[str], picks: Picks, window: RankWindow, split: str) -> pa.Table:
    references, targets = ([ids[row] for row in rows] for rows in (picks.reference, picks.target))
    size = len(references)
    columns = [
        [f"{reference}|{target}" for reference, target in zip(references, targets, strict=True)],
        references,
        targets,
        picks.rank,
        picks.score.astype(np.float32),
        [window.first] * size,
        [window.end] * size,
        [split] * size,
    ]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA)


def _capped(pairs: pa.Table, settings: PairSettings, seed: int, work: Work[PairsInput]) -> pa.Table:
    """At most ``max_pairs`` pairs, chosen at random by their ids."""
    if settings.max_pairs is None or len(pairs) <= settings.max_pairs:
        return pairs
    order = np.argsort(draw(id_keys(pairs["pair_id"].to_pylist(), seed), 0), kind="stable")
    work.draft.drop("pair beyond max_pairs", len(pairs) - settings.max_pairs)
    return pairs.take(np.sort(order[: settings.max_pairs]))


def _rows_of(left: Any, right: Any, row: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of id pairs; pairs with an image that has no vector are left out."""
    row_pairs = [
        (row[a], row[b]) for a, b in zip(left.to_pylist(), right.to_pylist(), strict=True) if a in row and b in row
    ]
    joined = np.array(row_pairs, np.int64).reshape(-1, 2)
    return joined[:, 0], joined[:, 1]


def _overview(pairs: pa.Table, settings: PairSettings) -> dict[str, Any]:
    counts, edges = np.histogram(pairs["score"].to_numpy(), bins=40, range=(-1, 1))
    return {
        "window": list(settings.window),
        "pairs": len(pairs),
        "score_mean": round(float(np.mean(pairs["score"].to_numpy())), 4),
        "score_histogram": {"edges": [round(float(edge), 3) for edge in edges], "counts": counts.tolist()},
        "sample": pairs.slice(0, SAMPLE_ROWS).select(["reference_id", "target_id", "rank", "score"]).to_pylist(),
    }


def _empty_window(settings: PairSettings, images: int) -> str:
    if images < 2:
        return f"pairs: the training split holds {images} image, and a pair needs 2; add pictures"
    shares = isinstance(settings.window[0], float)
    fitting = "[0.0, 1.0]" if shares else f"[{min(1, images - 2)}, {min(20, images - 1)}]"
    return (
        f"pairs: window {list(settings.window)} holds no image: the training split has {images} images, so ranks go "
        f"from 0 to {images - 2}. A window that would work: [pairs] window = {fitting}"
    )


def _all_refused(tables: PairsInput, drops: dict[str, int]) -> str:
    reasons = "; ".join(f"{reason}: {count}" for reason, count in drops.items()) or "no reference image"
    if reads_captions(tables):
        return (
            f"pairs: no two captions of a split share enough words and differ in few ({reasons}). Lower least_share or "
            'raise most_words_apart of the mode, or pair by looks with mode = "auto".'
        )
    return (
        f"pairs: not one pair in window {list(tables.pairs.window)} is allowed ({reasons}). Widen the window, raise "
        'max_cosine, set same_category = false or references = "all".'
    )


def growth(corpus: Corpus, settings: PairsInput) -> Load:
    """Every pair, and the similarities that the miner of each split computes; images are held, and an index of them."""
    products, held_floats = 0.0, 0.0
    for images in corpus.splits.values():
        window = _window(settings, round(images))
        if window is not None:
            products += _products(settings.pairs, window, images, corpus)
            if choose_miner(settings.pairs, window)[0].plugin_kind == "neighbours":
                held_floats = max(held_floats, index_floats(images, corpus.dimensions))
    return Load(corpus.pairs, "pair", products, held_rows=corpus.images, held_floats=held_floats)


def _products(settings: PairSettings, window: RankWindow, images: float, corpus: Corpus) -> float:
    """Multiply-adds of mining one split."""
    miner, landmarks = choose_miner(settings, window)
    if miner.reads_captions:
        return 0.0
    if miner.plugin_kind == "landmarks":
        return images * (landmarks + settings.per_reference / window.share) * corpus.dimensions
    if miner.plugin_kind == "neighbours" and images > FLAT_UP_TO:
        return inverted_file_products(images, corpus.lists_visited) * corpus.dimensions
    return images**2 * corpus.dimensions


PAIRS = Stage(
    name="pairs",
    parents=("annotations", "image_embeddings", "splits", "images", "captions"),
    view=PairsInput,
    version=1,
    write=write_pairs,
    parents_if={"captions": reads_captions},
    growth=growth,
)
