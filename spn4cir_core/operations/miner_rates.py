"""False-negative rates of hard-negative miners on a recipe's own triplets, by what its rules know."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from spn4cir_core.errors import StoreError
from spn4cir_core.evaluation.encode import encode_queries
from spn4cir_core.images.files import image_files
from spn4cir_core.negatives.rates_by_rank import BandRate, rates_by_rank
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import load_checkpoint
from spn4cir_core.training.image_inputs import image_inputs
from spn4cir_core.training.prepare_training import open_bank
from spn4cir_core.training.text_features import remember_texts
from spn4cir_core.training.triplet_batches import TrainingTriplets, read_training_triplets

MOST_TRIPLETS = 1000
BY_SIMILARITY = "look_alike"
"""The rule that itself goes by similarity: with it, a miner of look-alikes would be judged by its own ranks."""


def miner_rates(recipe: Recipe, store: Store) -> list[BandRate]:
    """Rates of four miners: stage 1's queries, look-alikes of the target, look-alikes of the reference image, chance.

    False negatives are those of the ``false_negatives`` artefact by annotations, groups, captions, texts and, where the
    recipe has one, a judge; not those by similarity. They are what is known, so that the rates are lower bounds.

    Raises:
        StoreError: the recipe has not been run as far as ``candidate_bank`` and ``false_negatives``.
    """
    parents = {noun: store.current(recipe.name, noun) for noun in ("triplets", "false_negatives", "candidate_bank")}
    checkpoint_artifact = store.current(recipe.name, "stage1_checkpoint")
    present = {noun: artifact for noun, artifact in parents.items() if artifact is not None}
    if checkpoint_artifact is None or len(present) < len(parents):
        raise StoreError(f"recipe {recipe.name!r} has not been run in {store}; run it first: spn4cir run")
    triplets = read_training_triplets(present["triplets"])
    rng = np.random.default_rng(recipe.seed)
    rows = np.sort(rng.permutation(len(triplets.ids))[:MOST_TRIPLETS])
    known = _known(present["false_negatives"], triplets, {triplets.ids[row] for row in rows})
    own = [known[triplets.ids[row]] for row in rows]
    bank = np.asarray(open_bank(present["candidate_bank"], checkpoint_artifact), np.float32)
    targets, references = triplets.targets[rows], triplets.references[rows]
    queries_QD = _queries(recipe, store, checkpoint_artifact, triplets, rows)
    pooled_ND = bank if bank.ndim == 2 else bank.mean(1)
    by_query = queries_QD @ bank.reshape(-1, bank.shape[-1]).T
    scores = {
        "queries of stage 1": by_query if bank.ndim == 2 else by_query.reshape(len(rows), *bank.shape[:2]).max(-1),
        "look-alikes of the target": pooled_ND[targets] @ pooled_ND.T,
        "look-alikes of the reference": pooled_ND[references] @ pooled_ND.T,
        "chance": rng.random((len(rows), len(bank))),
    }
    for values in scores.values():
        values[np.arange(len(rows)), references] = -np.inf  # the reference image is no candidate of its own query
    return [rate for miner, values in scores.items() for rate in rates_by_rank(miner, values, targets.tolist(), own)]


def _known(artifact: Artifact, triplets: TrainingTriplets, wanted: set[str]) -> defaultdict[str, set[int]]:
    """Candidate rows by triplet id, without those that similarity alone found."""
    row_of = {image_id: row for row, image_id in enumerate(triplets.candidates["image_id"].to_pylist())}
    rows: defaultdict[str, set[int]] = defaultdict(set)
    for piece in artifact.pieces(["triplet_id", "image_id", "reason"]):
        for line in piece.to_pylist():
            if line["triplet_id"] in wanted and line["reason"] != BY_SIMILARITY and line["image_id"] in row_of:
                rows[line["triplet_id"]].add(row_of[line["image_id"]])
    return rows


def _queries(
    recipe: Recipe, store: Store, artifact: Artifact, triplets: TrainingTriplets, rows: np.ndarray
) -> np.ndarray:
    """(Q, D) composed queries of some triplets, by stage 1; of several texts the first."""
    checkpoint = load_checkpoint(artifact)
    texts = [triplets.texts[row][0] for row in rows]
    used, positions = np.unique(triplets.references[rows], return_inverse=True)
    files = image_files(recipe.images, store)
    inputs = image_inputs(checkpoint.backbone, checkpoint.network, triplets.candidates.take(used), files, store)
    remember_texts(checkpoint.network, texts, store)
    return encode_queries(checkpoint.network, inputs, positions.tolist(), texts)["composed"]
