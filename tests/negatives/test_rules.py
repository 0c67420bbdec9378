import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spn4cir_core.negatives import rules
from spn4cir_core.negatives.rules import TrainingSet, are_nearest

IMAGES = [f"i{number}" for number in range(6)]
IMAGE, TEXT = st.sampled_from(IMAGES), st.sampled_from(["bluer", "larger", "gone"])
TRIPLET = st.tuples(IMAGE, st.lists(TEXT, min_size=1, max_size=2), IMAGE, st.sampled_from(["annotated", "generated"]))
CAPTION = st.sampled_from(["", "cat", "dog"])


def training_set(triplets: list[tuple[str, list[str], str, str]], captions: list[str] | None = None) -> TrainingSet:
    return TrainingSet(
        triplet_ids=[f"t{row}" for row in range(len(triplets))],
        candidate_ids=IMAGES,
        candidate_captions=captions or [""] * len(IMAGES),
        reference_ids=[reference for reference, _, _, _ in triplets],
        target_ids=[target for _, _, target, _ in triplets],
        texts=[texts for _, texts, _, _ in triplets],
        origins=[origin for _, _, _, origin in triplets],
    )


def names(rows: rules.Rows) -> list[str]:
    assert rows.tolist() == sorted(set(rows.tolist()))
    return [IMAGES[row] for row in rows]


@given(st.lists(TRIPLET, min_size=1, max_size=8), st.lists(st.tuples(IMAGE | st.just("elsewhere"), IMAGE), max_size=8))
def test_near_duplicates_of_the_target_both_ways(triplets: list, pairs: list[tuple[str, str]]) -> None:
    guard = rules.near_duplicate(training_set(triplets), pairs)
    for row, (_, _, target, _) in enumerate(triplets):
        oracle = [name for name in IMAGES if (name, target) in pairs or (target, name) in pairs]
        assert names(guard(row)) == oracle


@given(st.lists(TRIPLET, min_size=1, max_size=8))
def test_targets_of_the_same_query(triplets: list) -> None:
    training = training_set(triplets)
    same_text, annotated = rules.same_text(training), rules.annotated_target(training)
    for row, (reference, texts, _, _) in enumerate(triplets):
        answers = [
            (target, origin)
            for other, their_texts, target, origin in triplets
            if other == reference and set(their_texts) & set(texts)
        ]
        assert names(same_text(row)) == sorted({target for target, _ in answers})
        assert names(annotated(row)) == sorted({target for target, origin in answers if origin == "annotated"})


@given(st.lists(TRIPLET, min_size=1, max_size=8), st.lists(CAPTION, min_size=6, max_size=6))
def test_candidates_that_say_what_a_generated_target_says(triplets: list, captions: list[str]) -> None:
    guard = rules.same_caption(training_set(triplets, captions))
    for row, (_, _, target, origin) in enumerate(triplets):
        own = captions[IMAGES.index(target)] if origin == "generated" else ""
        oracle = [name for name, caption in zip(IMAGES, captions, strict=True) if own and caption == own]
        assert names(guard(row)) == oracle


def test_look_alikes_go_by_the_target() -> None:
    guard = rules.look_alike(
        training_set([("i0", ["t"], "i2", "generated"), ("i2", ["t"], "i0", "generated")]), {2: np.array([4, 5])}
    )
    assert names(guard(0)) == ["i4", "i5"]
    assert names(guard(1)) == []


def test_soft_targets_go_by_the_triplet_and_must_be_candidates() -> None:
    triplets = [("i0", ["t"], "i2", "annotated"), ("i0", ["t"], "i3", "annotated")]
    guard = rules.soft_target(training_set(triplets), {"t1": ["i5", "elsewhere", "i1"], "t9": ["i0"]})
    assert names(guard(0)) == []
    assert names(guard(1)) == ["i1", "i5"]


def test_judged_candidates_go_by_the_triplet() -> None:
    guard = rules.judged({1: [5, 3]})
    assert names(guard(0)) == []
    assert names(guard(1)) == ["i3", "i5"]


LIST = st.tuples(st.sets(st.integers(0, 50), max_size=30), st.integers(0, 50))


@given(st.lists(LIST, max_size=5), st.integers(1, 12))
def test_a_cut_keeps_a_run_of_neighbours_around_the_target(lists: list[tuple[set[int], int]], most: int) -> None:
    lengths = np.array([len(rows) for rows, _ in lists], np.int64)
    every = np.array([row for rows, _ in lists for row in sorted(rows)], np.int64)
    are_in = are_nearest(every, lengths, np.array([target for _, target in lists], np.int64), most)
    ends = np.cumsum(lengths).tolist()
    for (rows, target), start, end in zip(lists, [0, *ends], ends, strict=False):
        nearest, ordered = every[start:end][are_in[start:end]].tolist(), sorted(rows)
        assert len(nearest) == min(most, len(rows))
        assert nearest in [ordered[first : first + most] for first in range(max(1, len(rows) - most + 1))]
        if len(rows) > most > 1 and min(rows) <= target <= max(rows):
            assert min(nearest) <= target or nearest[0] == min(row for row in rows if row >= target)
            assert max(nearest) >= target or nearest[-1] == max(row for row in rows if row <= target)
