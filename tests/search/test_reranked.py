"""Searches whose first hits a reranker puts in order: Python, service, API and command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.recipe import Recipe
from spn4cir_core.reranking.base import RERANKERS
from spn4cir_core.search.hits import Hit
from spn4cir_core.search.models import Models
from spn4cir_core.search.requested_search import RequestedSearch
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import ORDER_STAYS, SearchService
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.store.artifacts import Artifact, Store
from tests.measured_store import recipe
from tests.reranking.rerankers import ByColour, Nonsense, colour_score

REFERENCE, TEXT = "toys/04.png", "a blue one"


def with_reranker(pictures: Path, **table: Any) -> Recipe:
    return recipe(pictures).model_copy(update={"rerank": RERANKERS.build(table)})


def reranking_searcher(store: Store, pictures: Path, **table: Any) -> Searcher:
    made, _ = SEARCH_INDEX.run(with_reranker(pictures, **table), store)
    SEARCH_INDEX.run(recipe(pictures), store)
    return Searcher.open(made, files=ImageFiles(pictures))


@pytest.fixture(scope="module")
def by_colour(store: Store, pictures: Path) -> Searcher:
    return reranking_searcher(store, pictures, kind=ByColour.plugin_kind, top=12)


@pytest.fixture(scope="module")
def nonsense(store: Store, pictures: Path) -> Searcher:
    return reranking_searcher(store, pictures, kind=Nonsense.plugin_kind)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.image_id for hit in hits]


def test_the_first_hits_change_their_order_and_no_other(by_colour: Searcher, pictures: Path) -> None:
    files = ImageFiles(pictures)
    reference = files.open(REFERENCE)
    plain = by_colour.search(reference, TEXT, 20, reference_id=REFERENCE)
    reranked = by_colour.search(reference, TEXT, 20, reference_id=REFERENCE, rerank=True)
    scores = [colour_score(files.open(hit.path).resize((32, 27)), TEXT) for hit in plain[:12]]
    assert ids(reranked[12:]) == ids(plain[12:]) and set(ids(reranked)) == set(ids(plain))
    assert "blue" in reranked[0].caption and scores[reranked[0].former_rank or 0] == pytest.approx(max(scores), abs=3)
    assert [hit.rank for hit in reranked] == list(range(20))
    assert [plain[hit.former_rank].image_id for hit in reranked if hit.former_rank is not None] == ids(reranked)
    assert ids(by_colour.search(reference, TEXT, 3, reference_id=REFERENCE, rerank=True)) == ids(reranked[:3])


def test_nonsense_leaves_the_order(nonsense: Searcher, pictures: Path, caplog: pytest.LogCaptureFixture) -> None:
    reference = ImageFiles(pictures).open(REFERENCE)
    assert nonsense.search(reference, TEXT, 9, rerank=True) == nonsense.search(reference, TEXT, 9)
    assert "the order stays" in caplog.text
    assert nonsense.reranking is not None and nonsense.reranking.unanswered == 1


def test_what_cannot_be_reranked_is_refused(by_colour: Searcher, searcher: Searcher, pictures: Path) -> None:
    with pytest.raises(InputError, match="no reranker; give the recipe a table"):
        searcher.search(pictures / REFERENCE, TEXT, rerank=True)
    with pytest.raises(InputError, match="only a query with a reference image and a text"):
        by_colour.search(None, TEXT, rerank=True)


def test_without_the_table_the_index_is_as_it_was(index: Artifact, store: Store, pictures: Path) -> None:
    assert "rerank" not in index.summary["settings"] and "reranker" not in index.details
    assert Searcher.open(index, files=ImageFiles(pictures)).reranking is None
    other = with_reranker(pictures, kind=ByColour.plugin_kind)
    assert SEARCH_INDEX.wanted(other, store) != index.fingerprint == SEARCH_INDEX.wanted(recipe(pictures), store)


@pytest.fixture(scope="module")
def service(by_colour: Searcher, pictures: Path) -> SearchService:
    return SearchService(Models(by_colour), ImageFiles(pictures))


def test_the_service_says_whether_the_order_is_the_rerankers(
    service: SearchService, nonsense: Searcher, pictures: Path
) -> None:
    first = service.search(RequestedSearch([REFERENCE], [], TEXT, "composed", 6))
    later = service.search(RequestedSearch([REFERENCE], [], TEXT, "composed", 6, rerank=True))
    assert (first.reranked, later.reranked) == (False, True) and len(first.hits) == len(later.hits) == 6
    assert ids(later.hits) != ids(first.hits) and "blue" in later.hits[0].caption
    stays = SearchService(Models(nonsense), ImageFiles(pictures)).search(
        RequestedSearch([REFERENCE], [], TEXT, "composed", 6, rerank=True)
    )
    assert not stays.reranked and ORDER_STAYS in stays.note and ids(stays.hits) == ids(first.hits)


def test_the_service_refuses_what_is_not_composed(service: SearchService, searcher: Searcher, pictures: Path) -> None:
    with pytest.raises(InputError, match="only a composed query"):
        service.search(RequestedSearch([REFERENCE], [], TEXT, "text", 6, rerank=True))
    with pytest.raises(InputError, match="this index has no reranker"):
        SearchService(Models(searcher), ImageFiles(pictures)).search(
            RequestedSearch([REFERENCE], [], TEXT, "composed", 6, rerank=True)
        )


def test_a_reranker_that_fails_leaves_the_order(
    service: SearchService, by_colour: Searcher, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise InputError("the server is down")

    assert by_colour.reranking is not None
    monkeypatch.setattr(by_colour.reranking, "order", refuse)
    result = service.search(RequestedSearch([REFERENCE], [], TEXT, "composed", 6, rerank=True))
    assert ORDER_STAYS in result.note and "down" not in result.note and len(result.hits) == 6


def test_the_api_answers_twice(service: SearchService) -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from starlette.testclient import TestClient

    from spn4cir_core.search.api import create_app

    client = TestClient(create_app(service, "toys"), base_url="http://127.0.0.1")
    assert client.get("/api/images").json()["reranks"] is True
    form = {"image_id": REFERENCE, "text": TEXT, "query": "composed", "top": "6"}
    first = client.post("/api/search", data=form).json()
    later = client.post("/api/search", data={**form, "rerank": "true"}).json()
    assert (first["reranked"], later["reranked"]) == (False, True)
    assert [hit["former_rank"] for hit in first["hits"]] == [None] * 6
    assert later["hits"][0]["former_rank"] is not None
