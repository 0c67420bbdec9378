"""Hits of a category, a corpus, or with a value of an attribute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from spn4cir_core.errors import InputError
from spn4cir_core.search import ranking
from spn4cir_core.search.api import create_app
from spn4cir_core.search.filters import Filters, metadata_of, parse_where
from spn4cir_core.search.index_table import IndexedImages
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import SearchService

ROWS: list[dict[str, Any]] = [
    {"category": "shoe", "corpus": "shop", "attributes": [("colour", "red"), ("size", "")]},
    {"category": "shoe", "corpus": "shop", "attributes": [("colour", "blue"), ("category", "boot")]},
    {"category": "", "corpus": "shop", "attributes": [("colour", "red")]},
]


def filters(rows: list[dict[str, Any]]) -> Filters:
    return Filters(IndexedImages.of(rows))


def test_values_are_counted_and_an_attribute_hides_no_column() -> None:
    values = filters(ROWS).values()
    assert list(values["colour"]) == ["red", "blue"]
    assert values == {"category": {"shoe": 2}, "colour": {"red": 2, "blue": 1}, "corpus": {"shop": 3}}


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ({"colour": "red"}, {0, 2}),
        ({"colour": ["red", "blue"]}, {0, 1, 2}),
        ({"colour": "red", "category": "shoe"}, {0}),
        ({"corpus": {"shop"}}, {0, 1, 2}),
    ],
)
def test_all_columns_must_agree(where: Any, rows: set[int]) -> None:
    allowed_N = filters(ROWS).allowed(where)
    assert allowed_N is not None and set(np.flatnonzero(allowed_N).tolist()) == rows


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"size": "4"}, "no image has a column 'size'; there are: category, colour, corpus"),
        ({"colour": "green"}, "no image has colour 'green'; there are: red, blue"),
        ({"colour": "blue", "category": "shoe", "corpus": "x"}, "no image has corpus 'x'; there are: shop"),
    ],
)
def test_no_image_fits(where: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        filters(ROWS).allowed(where)


def test_columns_that_fit_no_image_together() -> None:
    rows = [*ROWS, {"category": "hat", "corpus": "", "attributes": []}]
    with pytest.raises(InputError, match="no image fits all of category, colour at once"):
        filters(rows).allowed({"category": "hat", "colour": "red"})
    assert filters(rows).allowed({}) is None


def test_columns_agree_with_reading_every_row() -> None:
    rng = np.random.default_rng(0)
    names, values = ("colour", "size", "category", "fit"), ("", "red", "4", "shoe", "slim")
    rows = [
        {
            "category": str(rng.choice(values)),
            "corpus": str(rng.choice(values[:2])),
            "attributes": [(name, str(rng.choice(values))) for name in names if rng.random() < 0.7],
        }
        for _ in range(300)
    ]
    of_value: dict[tuple[str, str], set[int]] = {}
    for number, row in enumerate(rows):
        for pair in metadata_of(row).items():
            of_value.setdefault(pair, set()).add(number)
    made = filters(rows)
    assert {(name, value): count for name, of in made.values().items() for value, count in of.items()} == {
        pair: len(numbers) for pair, numbers in of_value.items()
    }
    for (name, value), numbers in of_value.items():
        allowed_N = made.allowed({name: value})
        assert allowed_N is not None and set(np.flatnonzero(allowed_N).tolist()) == numbers


def test_conditions_as_text() -> None:
    assert parse_where(["colour=red", "colour = blue", "size=a=b"]) == {"colour": {"red", "blue"}, "size": {"a=b"}}
    for wrong in ("colour", "=red", "colour="):
        with pytest.raises(InputError, match="is not COLUMN=VALUE"):
            parse_where([wrong])


@pytest.mark.parametrize("made", ["composed", "sum"])
def test_hits_are_those_of_the_whole_ranking_that_fit(searcher: Searcher, made: Any) -> None:
    """Also where few images fit, far down in the ranking."""
    colour_of = {row["image_id"]: dict(row["attributes"])["colour"] for row in searcher.rows}
    reference = np.zeros((20, 20, 3), np.uint8)
    for colours in (["red"], ["green", "blue"]):
        every = searcher.search(reference, "make it red", len(searcher.rows), once="all", made=made)
        wanted = [(hit.image_id, hit.score) for hit in every if colour_of[hit.image_id] in colours]
        where = {"colour": colours}
        for top in (1, 5, len(searcher.rows)):
            hits = searcher.search(reference, "make it red", top, once="all", made=made, where=where)
            assert [(hit.image_id, hit.score) for hit in hits] == wanted[:top]
            assert [hit.rank for hit in hits] == list(range(len(hits)))


def test_a_rare_value_is_found_without_ranking_everything_at_first(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranked are so many more images that enough of them may fit; where that was not enough, more."""
    wanted_each: list[int] = []
    nearest = ranking.best_images_of_each

    def counted(index: Any, queries_QD: np.ndarray, wanted: int, tokens: int) -> Any:
        wanted_each.append(wanted)
        return nearest(index, queries_QD, wanted, tokens)

    monkeypatch.setattr(ranking, "best_images_of_each", counted)
    alone = searcher.beside(searcher.network)
    hits = alone.search(None, "red", 2, once="all", where={"colour": "red", "label": "bar"})
    assert len(hits) == 2 and wanted_each[0] == 3 * 9 and len(wanted_each) <= 2
    many = alone.search_many(None, ["red", "blue"], 3, where={"label": "bar"})
    assert all(hit.caption.endswith("bar") or hit.image_id == "toys/30.png" for hits in many for hit in hits)


def test_the_api_lists_and_takes_conditions(service: SearchService) -> None:
    client = TestClient(create_app(service, "toys"), base_url="http://127.0.0.1")
    filters = client.get("/api/filters").json()["filters"]
    assert filters["colour"][0] == {"value": "red", "count": 12} and list(filters) == sorted(filters)
    form = {"image_id": "toys/00.png", "text": "blue", "where": ["colour=green", "label=bar"], "top": "9"}
    answer = client.post("/api/search", data=form).json()
    assert answer["hits"] and {hit["caption"] for hit in answer["hits"]} == {"a green bar"}
    refused = client.post("/api/search", data={**form, "where": ["colour=mauve"]})
    assert refused.status_code == 422 and "; there are: " in refused.json()["error"]
    assert client.post("/api/search", data={**form, "where": ["x"]}).status_code == 422
