"""Stage 2 with a reranker's soft labels: which candidates are judged, what is stored, and what it decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spn4cir_core.engine.processes import ALONE
from spn4cir_core.engine.progress import silent
from spn4cir_core.errors import RecipeError
from spn4cir_core.evaluation.encode import encode_queries
from spn4cir_core.images.files import image_files
from spn4cir_core.objectives.mixture import Mixture
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import load_checkpoint
from spn4cir_core.training.image_inputs import image_inputs
from spn4cir_core.training.judged_candidates import hardest_candidates, judged_candidates, reranker_of
from spn4cir_core.training.prepare_training import open_bank
from spn4cir_core.training.stages import CANDIDATE_BANK, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT
from spn4cir_core.training.triplet_batches import read_false_negatives, read_training_triplets
from spn4cir_core.triplets.triplet_tables import read_candidates
from tests.reranking.rerankers import ByColour, Nonsense
from tests.training.conftest import put_triplets, tiny_recipe

World = Callable[..., tuple[Recipe, Store]]


def _current(recipe: Recipe, store: Store, noun: str) -> Artifact:
    artifact = store.current(recipe.name, noun)
    assert artifact is not None
    return artifact


def judged(top: int = 3, **more: Any) -> dict[str, Any]:
    reranker = {"kind": "tests.reranking.rerankers:ByColour", "top": top}
    part = {"kind": "judged_labels", "reranker": reranker, **more}
    return {"objective": {"kind": "mixture", "parts": [{"kind": "bank"}, part]}}


def test_stage_2_learns_from_stored_scores_of_the_hardest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, store = world(stage2=judged())
    STAGE1_CHECKPOINT.run(recipe, store)
    CANDIDATE_BANK.run(recipe, store)
    first, _ = STAGE2_CHECKPOINT.run(recipe, store)

    def refuse(*_: object) -> None:
        raise AssertionError("every score is in the store")

    monkeypatch.setattr(ByColour, "start", refuse)
    second, _ = STAGE2_CHECKPOINT.run(tiny_recipe(stage2=judged(label_temperature=0.5)), store)
    plain, _ = STAGE2_CHECKPOINT.run(tiny_recipe(), store)
    assert len({artifact.file("model.safetensors").read_bytes() for artifact in (first, second, plain)}) == 3


def test_another_model_of_the_reranker_is_another_artefact(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, store = world(stage2=judged())
    STAGE1_CHECKPOINT.run(recipe, store)
    CANDIDATE_BANK.run(recipe, store)
    before = STAGE2_CHECKPOINT.wanted(recipe, store)
    monkeypatch.setattr(ByColour, "fingerprint", lambda *_: "other weights")
    assert before != STAGE2_CHECKPOINT.wanted(recipe, store)


def test_a_candidate_without_a_score_and_a_query_without_any(world: World) -> None:
    recipe, store = world()
    triplets = read_training_triplets(_current(recipe, store, "triplets"))
    files = image_files(recipe.images, store)
    rows_TK = np.tile(np.array([1, -1]), (len(triplets.ids), 1))
    more: dict[str, Any] = {"progress": silent, "seconds": defaultdict(float), "processes": ALONE}
    scored = judged_candidates(ByColour(), triplets, rows_TK, files, store, **more)
    assert np.isfinite(scored.scores_TL[:, :2]).all() and np.isnan(scored.scores_TL[:, 2]).all()
    assert scored.rows_TK.tolist() == [[1, 0]] * len(triplets.ids)
    assert np.isnan(judged_candidates(Nonsense(), triplets, rows_TK, files, store, **more).scores_TL).all()


def test_the_hardest_are_those_of_a_sorted_list(world: World) -> None:
    recipe, store = world()
    guarded = read_candidates(_current(recipe, store, "triplets"), "image_id")["image_id"][4].as_py()
    put_triplets(store, recipe, guards=[("t000", guarded)])
    stage1, _ = STAGE1_CHECKPOINT.run(recipe, store)
    bank, _ = CANDIDATE_BANK.run(recipe, store)
    start = load_checkpoint(stage1)
    triplets = read_training_triplets(_current(recipe, store, "triplets"))
    known = read_false_negatives(_current(recipe, store, "false_negatives"), triplets)
    assert known.pairs(np.array([0]))[:, 1].tolist() == [4]
    files = image_files(recipe.images, store)
    inputs = image_inputs(start.backbone, start.network, triplets.candidates, files, store)
    bank_ND = open_bank(bank, stage1)
    rows_TK = hardest_candidates(start.network, triplets, inputs, bank_ND, known, 4, "cpu")
    texts = [texts[0] for texts in triplets.texts]
    queries_TD = encode_queries(start.network, inputs, triplets.references, texts)["composed"]
    for triplet, query_D in enumerate(queries_TD):
        excluded = {int(triplets.targets[triplet]), *([4] if triplet == 0 else [])}
        scores = {row: float(query_D @ bank_ND[row]) for row in range(len(bank_ND)) if row not in excluded}
        assert rows_TK[triplet].tolist() == sorted(scores, key=lambda row: -scores[row])[:4]


def test_two_rerankers_are_refused() -> None:
    parts = [judged(top)["objective"]["parts"][1] for top in (3, 4)]
    with pytest.raises(RecipeError, match="a mixture can hold one reranker"):
        reranker_of(Mixture.model_validate({"parts": parts}))
