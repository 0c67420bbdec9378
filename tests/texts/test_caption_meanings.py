"""Digests of what captions say: those of the slow way, read where they are stored."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import pytest

from spn4cir_core.engine.progress import silent
from spn4cir_core.store.artifacts import Store
from spn4cir_core.texts import caption_meanings
from spn4cir_core.texts.caption_meanings import MEANING_VERSION, meaning_digest, meaning_digests
from spn4cir_core.texts.differences import caption_meaning

CAPTIONS = [
    *("a small red circle", "A red small circle.", "circle on a square", "a square on a circle", "", "the", "..."),
    *(
        "red circle, blue star",
        "blue star and red circle",
        "blue circle, red star",
        "a photo of a light blue cup, 0.5l",
    ),
    *(
        "navy jersey dress with white trim",
        "dress, navy jersey, with white trim",
        "size: M; colour: red",
        "kettle with lid",
    ),
    *("lid with kettle", "red red cup", "red cup", "this is a lamp", "a lamp", "一个红色的杯子，白色"),
]


def test_digests_are_equal_where_captions_say_the_same() -> None:
    for one, other in combinations(sorted(set(CAPTIONS)), 2):
        same = caption_meaning(one) == caption_meaning(other)
        assert (meaning_digest(one) == meaning_digest(other)) == same, (one, other)
    assert meaning_digest("") == meaning_digest("...") == b""


def test_stored_digests_are_read_and_new_captions_alone_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, computed = Store(tmp_path), []
    monkeypatch.setattr(
        caption_meanings, "caption_meaning", lambda caption: computed.append(caption) or caption_meaning(caption)
    )
    expected = {caption: meaning_digest(caption) for caption in CAPTIONS}
    computed.clear()
    for captions in (CAPTIONS[:20], CAPTIONS):
        digest_of = meaning_digests(captions, store, silent, defaultdict(float))
        assert digest_of == {caption: expected[caption] for caption in captions}
    assert sorted(computed) == sorted(set(CAPTIONS))


def test_other_meanings_raise_the_version() -> None:
    """A store would go on with what it has: where this fails, raise ``MEANING_VERSION`` and write the hash anew."""
    digests = b"".join(meaning_digest(caption) for caption in CAPTIONS)
    assert (MEANING_VERSION, hashlib.sha256(digests).hexdigest()[:16]) == (1, "2b68e16b8cb83899")
