from __future__ import annotations

import csv
import io

import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.base import Query
from spn4cir_core.evaluation.draft_queries import drafted, queries_csv, worded_by_corpus
from spn4cir_core.evaluation.labels import Labels, _Described


def test_each_reference_once_before_any_twice() -> None:
    queries = [Query(f"q{row}", f"c/{row // 3}.png", "x", ("c/t.png",)) for row in range(12)]
    assert sorted(query.reference_id for query in drafted(queries, 4, seed=0)) == [f"c/{row}.png" for row in range(4)]
    assert len(drafted(queries, 7, seed=0)) == 7
    assert drafted(queries, 100, seed=0) == queries
    assert drafted(queries, 5, seed=1) == drafted(queries, 5, seed=1) != drafted(queries, 5, seed=2)


def test_names_are_relative_to_the_corpus() -> None:
    query = Query("q", "shoes/a,b.png", 'in "red",\nnot blue', ("shoes/x/c.png", "shoes/d.png"), "colour")
    content = queries_csv([query], "shoes", {"shoes/a,b.png": "a shoe"}).decode()
    (row,) = csv.DictReader(io.StringIO(content))
    assert (row["reference"], row["targets"], row["kind"]) == ("a,b.png", "x/c.png|d.png", "colour")
    assert (row["modified_text"], row["reference_caption"]) == ('in "red",\nnot blue', "a shoe")
    with pytest.raises(InputError, match="does not lie in the corpus's folder 'boots'"):
        queries_csv([query], "boots", {})


@pytest.mark.parametrize(
    ("captions", "text"),
    [
        (["a red boot", "a boot"], "the same colour, but standard instead of medium fat"),
        (["medium fat milk", "standard milk"] * 5, "standard instead of medium fat"),
    ],
)
def test_labels_are_worded_by_the_corpus(captions: list[str], text: str) -> None:
    worded = worded_by_corpus(Labels(), captions)
    milk = _Described("a.jpg", "garant-ecological-medium-fat-milk", "white" if worded.colour else "")
    assert worded._query(milk, "garant-ecological-standard-milk", milk.colour, ["b.jpg"]).modified_text == text
    other = worded._query(milk, "sour_cream", milk.colour, ["c.jpg"]).modified_text
    assert other.endswith("sour cream") and ("colour" in other) == bool(worded.colour)


def test_a_recipes_own_colours_are_asked_for_whatever_captions_say() -> None:
    assert worded_by_corpus(Labels(colour="colour"), ["milk"] * 9).colour == "colour"
