"""Checks of finished artefacts: each reads tables and returns a finding."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.embeddings.vectors import read_embeddings
from spn4cir_core.errors import StoreError
from spn4cir_core.evaluation.report_tables import PRECISION_FILE, RECALL_FILE, read_report_table
from spn4cir_core.operations.against_before import (
    Recalls,
    composed_recalls,
    measure_again,
    measured_too,
    older_models,
    ruler_differences,
)
from spn4cir_core.pairs.pair_table import PairColumn, read_pairs
from spn4cir_core.recipe import Recipe
from spn4cir_core.splits.split_tables import read_splits, split_of_images
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.texts.templates import PLACEHOLDERS
from spn4cir_core.texts.text_table import read_modified_texts
from spn4cir_core.training.roles import CONTROL, ROLES, STAGE1, STAGE2, TRAINED
from spn4cir_core.triplets.triplet_tables import CANDIDATES_FILE, read_triplets

UNFILLED = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
UNCAPTIONED_SHARE = 0.01
COMMON_SHARE, COMMON_OF = 0.5, 20
"""With at least ``COMMON_OF`` captions, no caption may belong to more than this share of the images."""
ROWS = 8192


@dataclass(frozen=True)
class Finding:
    """Result of a check: whether it passed, a message, and a few offending rows."""

    passed: bool
    says: str
    examples: list[str]


@dataclass(frozen=True)
class RecipeArtifacts:
    """The artefacts of a recipe: ``artifacts("pairs")`` is its current artefact of that name."""

    name: str
    """Name of the recipe."""
    store: Store
    recipe: Recipe | None = None
    """Its settings, for checks that measure; without them they compare what was measured."""

    def __call__(self, noun: str) -> Artifact:
        """The current artefact.

        Raises:
            StoreError: the recipe has none.
        """
        artifact = self.store.current(self.name, noun)
        if artifact is None:
            raise StoreError(f"recipe {self.name!r} has no {noun} in {self.store}; make it with: spn4cir run")
        return artifact

    def before(self, noun: str) -> Artifact | None:
        """The artefact that was current before, or None."""
        return self.store.before(self.name, noun)

    def ids(self, noun: str, column: str = "image_id", table: str = "") -> list[str]:
        """One column of an artefact's table."""
        ids: list[str] = self(noun).table(table, columns=[column])[column].to_pylist()
        return ids


Check = Callable[[RecipeArtifacts], Finding]
CHECKS: list[tuple[str, Check, bool]] = []
"""Artefact, check, and whether a failure stops what follows; one that does not is a warning."""


def check_of(noun: str, *, blocking: bool = True) -> Callable[[Check], Check]:
    """Add a check of an artefact to :data:`CHECKS`; its docstring is shown beside its result."""

    def add(check: Check) -> Check:
        CHECKS.append((noun, check, blocking))
        return check

    return add


def _none_of(offenders: Iterable[str], what: str) -> Finding:
    rows = list(offenders)
    return Finding(not rows, f"{len(rows)} {what}", rows[:5])


def _unknown_and_doubled(ids: list[str], known: Iterable[str]) -> set[str]:
    """Ids that are not known, and ids that occur more than once."""
    return (set(ids) - set(known)) | {one for one, count in Counter(ids).items() if count > 1}


def _unlike_unit(vectors: np.ndarray, ids: list[str]) -> list[str]:
    """Rows of (N, D) or (N, T, D) vectors that are not finite and of length 1."""
    bad: list[str] = []
    for start in range(0, len(ids), ROWS):
        lengths = np.linalg.norm(vectors[start : start + ROWS].astype(np.float32), axis=-1)
        unit = (np.abs(lengths - 1) < 1e-2).reshape(len(lengths), -1).all(axis=1)
        bad += [ids[start + int(row)] for row in np.flatnonzero(~unit)]
    return bad


def _shares(table: pa.Table, column: str) -> list[str]:
    """Rows whose value is not a number from 0 to 1."""
    inside = pc.and_(pc.greater_equal(table[column], 0), pc.less_equal(table[column], 1))
    return [str(row) for row in table.filter(pc.invert(pc.fill_null(inside, False))).to_pylist()]


@check_of("captions")
def captions_join_images(artifacts: RecipeArtifacts) -> Finding:
    """Every caption belongs to an image, one per image, and none is empty."""
    captions = artifacts("captions").table(columns=["image_id", "caption"])
    ids = captions["image_id"].to_pylist()
    empty = {image for image, text in zip(ids, captions["caption"].to_pylist(), strict=True) if not text.strip()}
    bad = empty | _unknown_and_doubled(ids, artifacts.ids("images"))
    return _none_of(sorted(bad), "captions are empty, doubled or of no image")


@check_of("captions")
def captions_differ(artifacts: RecipeArtifacts) -> Finding:
    """No single caption stands for most of the images: differences of captions are what triplets are made of."""
    counts = Counter(text.strip().casefold() for text in artifacts.ids("captions", "caption"))
    text, count = counts.most_common(1)[0] if counts else ("", 0)
    passed = counts.total() < COMMON_OF or count <= COMMON_SHARE * counts.total()
    says = f"{len(counts)} different captions of {counts.total()} images; {count} of them have the most common one"
    return Finding(passed, says, [] if passed else [text])


@check_of("captions", blocking=False)
def images_have_captions(artifacts: RecipeArtifacts) -> Finding:
    """Nearly every image has a caption; those without one are in no generated triplet."""
    images = artifacts.ids("images")
    without = sorted(set(images) - set(artifacts.ids("captions")))
    passed = len(without) <= UNCAPTIONED_SHARE * len(images)
    return Finding(passed, f"{len(without)} of {len(images)} images have no caption", [] if passed else without[:5])


@check_of("image_embeddings")
def vectors_are_unit(artifacts: RecipeArtifacts) -> Finding:
    """Every vector is finite and has length 1."""
    artifact = artifacts("image_embeddings")
    ids, vectors = read_embeddings(artifact)
    if len(vectors) != len(ids):
        return Finding(False, f"{len(vectors)} vectors for {len(ids)} rows", [])
    return _none_of(_unlike_unit(vectors, ids), "vectors are not finite and of unit length")


@check_of("image_embeddings")
def embeddings_join_images(artifacts: RecipeArtifacts) -> Finding:
    """Every vector belongs to an image, one per image."""
    bad = _unknown_and_doubled(artifacts.ids("image_embeddings"), artifacts.ids("images"))
    return _none_of(sorted(bad), "vectors are doubled or of no image")


@check_of("pairs")
def ranks_lie_in_window(artifacts: RecipeArtifacts) -> Finding:
    """Every pair's rank lies in its window, and no image is paired with itself."""
    window: tuple[PairColumn, ...] = ("rank", "window_first_rank", "window_end_rank")
    pairs = read_pairs(artifacts("pairs"), "pair_id", "reference_id", "target_id", *window)
    inside = pc.and_(
        pc.greater_equal(pairs["rank"], pairs["window_first_rank"]), pc.less(pairs["rank"], pairs["window_end_rank"])
    )
    bad = pc.or_(pc.invert(pc.fill_null(inside, False)), pc.equal(pairs["reference_id"], pairs["target_id"]))
    return _none_of(pairs.filter(bad)["pair_id"].to_pylist(), "pairs lie outside the window or join an image to itself")


@check_of("pairs")
def pairs_join_one_split(artifacts: RecipeArtifacts) -> Finding:
    """Both images of a pair are of the pair's split, and every pair is there once."""
    where = split_of_images(artifacts("splits"))
    names = ("pair_id", "reference_id", "target_id", "split")
    rows = list(zip(*(artifacts.ids("pairs", name) for name in names), strict=True))
    bad = {pair for pair, one, two, split in rows if not where.get(one) == where.get(two) == split}
    bad |= {pair for pair, count in Counter(row[0] for row in rows).items() if count > 1}
    return _none_of(sorted(bad), "pairs are doubled, or join unknown images or images of other splits")


@check_of("modified_texts")
def placeholders_are_filled(artifacts: RecipeArtifacts) -> Finding:
    """No modified text is empty or has a placeholder left."""
    texts = read_modified_texts(artifacts("modified_texts"), "pair_id", "modified_texts")
    bad = [
        pair
        for pair, filled in zip(texts["pair_id"].to_pylist(), texts["modified_texts"].to_pylist(), strict=True)
        if not filled or any(UNFILLED.search(text) or not text.strip() for text in filled)
    ]
    return _none_of(bad, "pairs have an unfilled or empty text")


@check_of("modified_texts")
def texts_join_pairs(artifacts: RecipeArtifacts) -> Finding:
    """Every modified text belongs to a pair, one row per pair."""
    bad = _unknown_and_doubled(artifacts.ids("modified_texts", "pair_id"), artifacts.ids("pairs", "pair_id"))
    return _none_of(sorted(bad), "texts are doubled or of no pair")


@check_of("triplets")
def triplets_are_whole(artifacts: RecipeArtifacts) -> Finding:
    """Every triplet joins two different known images by a text, and is there once."""
    table = read_triplets(artifacts("triplets"), "triplet_id", "reference_id", "target_id", "modified_texts")
    known = set(artifacts.ids("images"))
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    bad = {one for one, reference, target, texts in rows if reference == target or not texts}
    bad |= {one for one, reference, target, _ in rows if not {reference, target} <= known}
    bad |= {one for one, count in Counter(row[0] for row in rows).items() if count > 1}
    return _none_of(sorted(bad), "triplets are doubled, without text, of one image, or of unknown images")


@check_of("triplets")
def splits_do_not_share_images(artifacts: RecipeArtifacts) -> Finding:
    """No image of a training triplet, nor a near-duplicate of one, is in the evaluation split."""
    splits = read_splits(artifacts("splits"))
    rows = zip(*(splits[name].to_pylist() for name in ("image_id", "split", "component")), strict=True)
    where = {image: (split, component) for image, split, component in rows}
    held_out = {component for split, component in where.values() if split == "evaluation"}
    triplets = read_triplets(artifacts("triplets"), "reference_id", "target_id", "split")
    trained = triplets.filter(pc.equal(triplets["split"], "train"))
    images = set(trained["reference_id"].to_pylist()) | set(trained["target_id"].to_pylist())
    images |= set(artifacts.ids("triplets", table=CANDIDATES_FILE))
    bad = sorted(image for image in images if image not in where or where[image][1] in held_out)
    return _none_of(bad, "training images are held out as well, or in no split")


def loss_is_finite(stage: str) -> Check:
    """The check that a checkpoint's recorded losses are all finite numbers."""

    def check(artifacts: RecipeArtifacts) -> Finding:
        """Every recorded loss is a finite number."""
        lines = artifacts(stage).file("metrics.jsonl").read_text(encoding="utf-8").splitlines()
        losses = [(line, json.loads(line).get("loss")) for line in lines]
        bad = [line for line, loss in losses if not isinstance(loss, int | float) or not math.isfinite(loss)]
        return _none_of(bad, "recorded losses are not finite")

    check.__name__ = f"{stage}_loss_is_finite"
    return check


for _role in TRAINED.values():
    check_of(_role.artifact, blocking=_role != CONTROL)(loss_is_finite(_role.artifact))


@check_of("candidate_bank")
def bank_matches_checkpoint(artifacts: RecipeArtifacts) -> Finding:
    """The candidate bank was computed by the stage-1 checkpoint in use."""
    made_by = artifacts("candidate_bank").summary["parents"][STAGE1.artifact]
    in_use = artifacts(STAGE1.artifact).fingerprint
    return Finding(made_by == in_use, f"bank made by {made_by}, checkpoint in use {in_use}", [])


@check_of("candidate_bank")
def bank_holds_the_candidates(artifacts: RecipeArtifacts) -> Finding:
    """The bank holds every candidate once, in order, as finite vectors of length 1."""
    bank, ids = artifacts("candidate_bank"), artifacts.ids("candidate_bank")
    if ids != artifacts.ids("triplets", table=CANDIDATES_FILE):
        return Finding(False, "the bank's images are not those of the candidate set, in its order", [])
    vectors = np.load(bank.file("bank.npy"), mmap_mode="r", allow_pickle=False)
    if len(vectors) != len(ids):
        return Finding(False, f"{len(vectors)} vectors for {len(ids)} candidates", [])
    return _none_of(_unlike_unit(vectors, ids), "candidates' vectors are not finite and of unit length")


@check_of("eval_report")
def recall_is_a_share(artifacts: RecipeArtifacts) -> Finding:
    """Every recall and mean average precision lies between 0 and 1."""
    report = artifacts("eval_report")
    bad = _shares(read_report_table(report, RECALL_FILE), "recall")
    bad += _shares(read_report_table(report, PRECISION_FILE), "mean_average_precision")
    return _none_of(bad, "recalls or precisions lie outside 0 to 1")


@check_of("eval_report", blocking=False)
def recall_is_not_worse(artifacts: RecipeArtifacts) -> Finding:
    """No recall of what is served, nor of stage 2 alone, is below that of the last report by more than chance."""
    before = artifacts.before("eval_report")
    if before is None:
        return Finding(True, "there is no report before this one", [])
    report = artifacts("eval_report")
    differences = ruler_differences(report, before)
    alike = {name for name, reasons in differences.items() if not reasons}
    if alike:
        older = {key: value for key, value in composed_recalls(before).items() if key[0] in alike}
        return _recalls_that_fell(report, older, f"measured alike in {before.fingerprint}")
    reasons = [f"{name}: {'; '.join(reasons)}" for name, reasons in differences.items()]
    unlike = f"nothing can be compared with report {before.fingerprint}, whose queries or galleries are others"
    models = older_models(before, artifacts.store)
    if artifacts.recipe is None or not models:
        return Finding(True, f"{unlike}, and its checkpoint cannot be measured again", reasons)
    if measured_too(report, models):
        return Finding(True, f"{unlike}; the checkpoint is the same", reasons)
    older = measure_again(artifacts.recipe, artifacts.store, report, models)
    checkpoint = models[STAGE2.name].fingerprint
    return _recalls_that_fell(report, older, f"of checkpoint {checkpoint} on today's queries and galleries")


def _recalls_that_fell(report: Artifact, older: Recalls, what: str) -> Finding:
    """Recalls whose 95 % interval ends below the older value."""
    now, high = composed_recalls(report), composed_recalls(report, "high")
    both = [key for key in now if key in older]
    worse = [
        f"{name}, {ROLES[model].label}, recall@{k}: {older[key]:.3f} before, {now[key]:.3f} now "
        f"(95 % interval to {high[key]:.3f})"
        for key in both
        for name, model, k in [key]
        if high[key] < older[key]
    ]
    return Finding(not worse, f"{len(worse)} of {len(both)} recalls {what} fell", worse[:5])


@check_of("search_index")
def index_joins_images(artifacts: RecipeArtifacts) -> Finding:
    """Every image that can be found is one of the corpus, once."""
    bad = _unknown_and_doubled(artifacts.ids("search_index"), artifacts.ids("images"))
    return _none_of(sorted(bad), "indexed images are doubled or not of the corpus")
