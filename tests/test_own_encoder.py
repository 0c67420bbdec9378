from __future__ import annotations

from pathlib import Path

from benchmarks.own_encoder import ONE, query_rows, recipes
from spn4cir_core.backbones.frozen.settings import Frozen
from spn4cir_core.evaluation.base import Query

PATHS = {name: f"images/{name}.jpg" for name in "abcdef"}


def test_a_query_is_asked_again_with_a_picture_like_its_reference_and_knows_wrong_answers() -> None:
    queries = [
        Query("1", "a", "the same shirt, but blue", ("c", "d"), "colour"),
        Query("2", "a", "the same colour, but a hat", ("e",), "label"),
        Query("3", "c", "the same shirt, but red", ("a", "b"), "colour"),
    ]
    rows = query_rows(queries, PATHS)
    assert [row["reference"] for row in rows] == [
        "images/a.jpg",
        "images/a.jpg|images/b.jpg",
        "images/a.jpg",
        "images/a.jpg|images/b.jpg",
        "images/c.jpg",
        "images/c.jpg|images/d.jpg",
    ]
    assert [row["negatives"] for row in rows[::2]] == ["images/e.jpg", "images/c.jpg|images/d.jpg", ""]
    first_wordings = [row["paraphrases"].partition("|")[0] for row in rows[::2]]
    assert first_wordings == ["in blue", "a hat of the same colour", "in red"]
    assert {row["kind"] for row in rows[::2]} == {ONE} and len({row["query_id"] for row in rows}) == 6


def test_both_recipes_share_their_networks(tmp_path: Path) -> None:
    in_words, reranked = recipes(tmp_path, tmp_path / "encoder", 2, 5)
    assert isinstance(in_words.stage1_checkpoint.backbone, Frozen) and "frozen_composed" in in_words.blend.channels
    assert in_words.stage1_checkpoint == reranked.stage1_checkpoint and in_words.seed == reranked.seed == 2
    assert in_words.rerank is None and reranked.rerank is not None and reranked.rerank.top == 5
