"""The queue of queries worth judging: pooled hits, their order, and what judging them says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.judgements.judgement import Judgement, Purpose, Verdict
from spn4cir_core.judgements.judgement_log import FILE
from spn4cir_core.search.judging import Judging
from spn4cir_core.search.judging_queue import DEPTH, JudgingQueue, PooledQuery, QueueOfIndex, pooled_queries
from spn4cir_core.search.models import SHARED, Models, Opened
from spn4cir_core.search.requested_search import RequestedSearch
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import SearchService
from spn4cir_core.store.artifacts import Artifact, Store
from tests.measured_store import NAME, SPLITS, image_rows

EVALUATION = {row["image_id"] for number, row in enumerate(image_rows()) if SPLITS[number // 9] == "evaluation"}


@pytest.fixture
def judging(store: Store) -> Iterator[Judging]:
    own = Judging(store, NAME)
    yield own
    for path in store.root.glob(f"{FILE}*"):
        path.unlink()


@pytest.fixture(scope="module")
def compared(searcher: Searcher, pictures: Path, index: Artifact) -> SearchService:
    """A service with a second model and one that cannot be asked."""
    stage1 = Opened(searcher.beside(searcher.network), SHARED)
    return SearchService(
        Models(searcher, {"stage1": lambda: stage1, "control": "there is none"}, index.fingerprint),
        ImageFiles(pictures),
    )


def pooled(number: int, *hits: str) -> PooledQuery:
    return PooledQuery("r", f"text {number}", dict(zip(("blend", "stage1"), ((hit,) for hit in hits), strict=True)))


def test_pooled_hits_are_the_models_first_ones_among_the_evaluation_split(
    compared: SearchService, judging: Judging
) -> None:
    queries = pooled_queries(compared, judging)
    assert queries and {query.reference_id for query in queries} <= EVALUATION
    for query in queries[:4]:
        for model in ("blend", "stage1"):
            wanted = RequestedSearch([query.reference_id], [], query.modified_text, "composed", 36, model)
            hits = compared.search(wanted).hits
            right = [hit.image_id for hit in hits if hit.image_id in EVALUATION][:DEPTH]
            assert list(query.hits[model]) == right  # type: ignore[index]
        assert set(query.pooled_ids) == {name for hits in query.hits.values() for name in hits}


def test_what_people_typed_and_judged_is_a_stratum_of_its_own(compared: SearchService, judging: Judging) -> None:
    purposes: dict[str, Purpose] = {**dict.fromkeys(EVALUATION, "evaluation"), "toys/00.png": "train"}
    reference, hit, other = sorted(EVALUATION)[:3]
    judging.log.add(
        [
            Judgement((reference,), "a word that nobody drew", hit, "right", judge="Ann"),
            Judgement(("toys/00.png",), "of training", hit, "right", judge="Ann"),
            Judgement((reference, other), "two references", hit, "right", judge="Ann"),
        ],
        purposes,
    )
    edit = pooled_queries(compared, judging)[0]
    judging.log.add([Judgement((edit.reference_id,), edit.modified_text, hit, "right", judge="Ann")], purposes)
    queries = pooled_queries(compared, judging)
    assert [query.modified_text for query in queries if query.is_typed] == ["a word that nobody drew"]
    queue = JudgingQueue(queries)
    assert len(queue.queries) == len(queries) and len({query.query_id for query in queue.queries}) == len(queries)


def test_the_order_of_hits_says_nothing_of_models() -> None:
    queries = [pooled(number, "a", "b") for number in range(200)]
    first = sum(query.pooled_ids[0] == "a" for query in queries)
    assert 70 < first < 130
    swapped = [
        PooledQuery(each.reference_id, each.modified_text, {"blend": ("b",), "stage1": ("a",)}) for each in queries
    ]
    assert [each.pooled_ids for each in swapped] == [each.pooled_ids for each in queries]


def test_disagreement_comes_more_often_and_every_query_once() -> None:
    queries = [pooled(number, "a", "a" if number < 50 else "b") for number in range(100)]
    order = JudgingQueue(queries).queries
    assert sorted(query.modified_text for query in order) == sorted(query.modified_text for query in queries)
    apart = sum(query.first_hits == 2 for query in order[:40])
    assert apart == pytest.approx(40 * 0.5 / 0.8, abs=1)


def test_a_judge_goes_on_with_what_he_has_not_judged() -> None:
    queue = JudgingQueue([pooled(number, "a", "b") for number in range(3)])
    first, second, third = queue.queries
    assert queue.next({}) == (0, first)
    assert queue.next({first.query_id: {"a": "right"}}) == (0, first)
    assert queue.next({first.query_id: {"a": "right", "b": "unsure"}}) == (1, second)
    done = {query.query_id: {"": "none"} for query in queue.queries}
    assert queue.next(done) is None
    del done[third.query_id]
    assert queue.next(done) == (2, third)


def test_judgements_of_all_count_for_the_share(compared: SearchService, judging: Judging) -> None:
    queue = QueueOfIndex(judging)
    before = queue.share_right(compared)
    item = queue.next(compared, "Ann")
    assert item is not None and item.number == 0 and before.judged == 0
    purposes: dict[str, Purpose] = dict.fromkeys(EVALUATION, "evaluation")
    for count in range(4):
        item = queue.next(compared, "Ann")
        assert item is not None and item.number == count
        judging.log.add(
            [
                Judgement((item.reference.image_id,), item.modified_text, hit.image_id, "right", judge="Ann")
                for hit in item.hits
            ],
            purposes,
        )
    after, other = queue.share_right(compared), queue.next(compared, "Bob")
    assert after.judged == 4 and after.half_width < before.half_width and after.value > before.value
    assert other is not None and other.number == 0


def test_what_was_judged_stays_judged_where_judges_differ(compared: SearchService, judging: Judging) -> None:
    queue = QueueOfIndex(judging)
    purposes: dict[str, Purpose] = dict.fromkeys(EVALUATION, "evaluation")
    item = queue.next(compared, "Ann")
    assert item is not None
    given: list[tuple[str, Verdict]] = [("Ann", "right"), ("Bob", "wrong"), ("Cid", "unsure"), ("Dan", "wrong")]
    judged = []
    for judge, verdict in given:
        query = ((item.reference.image_id,), item.modified_text)
        judging.log.add([Judgement(*query, hit.image_id, verdict, judge=judge) for hit in item.hits], purposes)
        judged.append(queue.share_right(compared).judged)
    assert judged == [1, 1, 1, 1]
