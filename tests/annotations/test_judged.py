"""Judgements join the annotations in steps: equal beginnings of the log give equal artefacts."""

from __future__ import annotations

from pathlib import Path

import pytest

from spn4cir_core.annotations.judged import judged_annotations
from spn4cir_core.annotations.settings import AnnotationSettings
from spn4cir_core.annotations.stage import ANNOTATIONS
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.judgements.judgement import Judgement, Purpose, Verdict
from spn4cir_core.judgements.judgement_log import JudgementLog
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from tests.annotations.test_stage import recipe, write_corpus

PURPOSES: dict[str, Purpose] = {
    **dict.fromkeys(("toys/0.png", "toys/1.png", "toys/2.png"), "train"),
    **dict.fromkeys(("toys/3.png", "toys/4.png"), "evaluation"),
    **dict.fromkeys(("toys/5.png", "toys/6.png"), "validation"),
}


def judged(reference: int, image: int, verdict: Verdict) -> Judgement:
    return Judgement((f"toys/{reference}.png",), "but red", f"toys/{image}.png", verdict, judge="Ann")


GIVEN = [judged(0, 1, "right"), judged(0, 2, "wrong"), judged(3, 4, "right"), judged(5, 6, "right")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    write_corpus(tmp_path / "in" / "toys", 7)
    return Store(tmp_path / "store")


@pytest.fixture
def log(store: Store) -> JudgementLog:
    return JudgementLog(store, "test")


def with_judgements(store: Store, step: int) -> Recipe:
    own = recipe(store.root.parent / "in")
    return own.model_copy(update={"annotations": AnnotationSettings(judgements_step=step)})


def made(store: Store, step: int) -> tuple[Artifact, bool]:
    IMAGES.run(with_judgements(store, step), store)
    return ANNOTATIONS.run(with_judgements(store, step), store)


def test_right_hits_are_targets_and_wrong_ones_explicit_negatives(store: Store, log: JudgementLog) -> None:
    log.add(GIVEN, PURPOSES)
    artifact, _ = made(store, 4)
    triplets = artifact.table("annotated_triplets.parquet").to_pylist()
    assert [(row["corpus"], row["reference_id"], row["target_id"], row["soft_targets"]) for row in triplets] == [
        ("judged_train", "toys/0.png", "toys/1.png", [("toys/2.png", -1.0)]),
        ("judged_validation", "toys/5.png", "toys/6.png", []),
    ]
    (query,) = artifact.table("queries.parquet").to_pylist()
    assert (query["corpus"], query["reference_id"], query["target_ids"]) == ("judged", "toys/3.png", ["toys/4.png"])
    assert artifact.details["judgements"] == 4 and artifact.summary["drops"] == {}


def test_they_join_in_steps_and_only_when_that_changes_something(store: Store, log: JudgementLog) -> None:
    without, _ = made(store, 0)
    log.add(GIVEN[:2], PURPOSES)
    assert made(store, 0)[0].fingerprint == made(store, 3)[0].fingerprint == without.fingerprint
    two, reused = made(store, 2)
    assert two.fingerprint != without.fingerprint and not reused
    log.add(GIVEN[2:3], PURPOSES)
    assert ANNOTATIONS.is_made(with_judgements(store, 2), store)
    assert made(store, 2) == (two, True), "one more is no whole step"
    log.add(GIVEN[3:], PURPOSES)
    assert not ANNOTATIONS.is_made(with_judgements(store, 2), store), "the sensor starts a run"
    four, reused = made(store, 2)
    assert four.fingerprint != two.fingerprint and not reused
    assert made(store, 1)[0].fingerprint == four.fingerprint, "the step decides nothing where it reads the same"
    log.add([judged(0, 2, "wrong"), judged(3, 4, "right")], PURPOSES)
    assert made(store, 2)[1], "what was said again changes nothing"


def test_another_recipes_judgements_are_not_read_and_one_line_says_so(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    assert judged_annotations(store, "test", 1) is None and not caplog.messages
    JudgementLog(store, "other").add(GIVEN, PURPOSES)
    assert judged_annotations(store, "test", 1) is None and judged_annotations(store, "other", 5) is None
    assert made(store, 1)[0].summary["rows"] == 0
    (line,) = [line for line in caplog.messages if "judgements_step" in line]
    assert "recipe 'test'" in line and "'other' only" in line
