"""Words that were counted before are those that are counted now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spn4cir_core.errors import StoreError
from spn4cir_core.texts.caption_words import CaptionWords
from spn4cir_core.texts.stored_words import (
    kinds_from,
    kinds_table,
    open_in_place,
    words_from,
    words_tables,
    write_in_place,
)
from spn4cir_core.texts.word_kinds import WordKinds

CAPTIONS = ["a red hat", "", "a blue hat with a red feather", "shoes", "a blue shirt", "a red shirt, striped"]


@pytest.mark.parametrize("captions", [CAPTIONS, ["", ""], []])
def test_words_score_as_before(captions: list[str], tmp_path: Path) -> None:
    words = CaptionWords.of(captions)
    for name, table in zip(("words", "captions"), words_tables(words), strict=True):
        write_in_place(table, tmp_path / name)
    opened = words_from(open_in_place(tmp_path / "words"), open_in_place(tmp_path / "captions"))
    assert list(opened.column) == list(words.column)
    some = np.arange(len(captions))[::2]
    for query in (["red", "hat", "red hat"], ["shirt"], ["none"], []):
        for rows_K in (None, some):
            np.testing.assert_array_equal(opened.coverage(query, rows_K), words.coverage(query, rows_K))
            np.testing.assert_array_equal(opened.cosine(query, rows_K), words.cosine(query, rows_K))
        np.testing.assert_array_equal(opened.rows_with(query, 2), words.rows_with(query, 2))
    assert opened.near.alike("shirts", 0.7) == words.near.alike("shirts", 0.7)


@pytest.mark.parametrize("captions", [CAPTIONS, []])
def test_kinds_are_as_before(captions: list[str], tmp_path: Path) -> None:
    kinds = WordKinds.learn(captions)
    write_in_place(kinds_table(kinds), tmp_path / "kinds")
    opened = kinds_from(open_in_place(tmp_path / "kinds"))
    assert opened.heads == kinds.heads
    for before, after in ((kinds.positions, opened.positions), (kinds.phrases, opened.phrases)):
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[stem], after[stem]) for stem in before)


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "kinds").write_bytes(b"no table")
    with pytest.raises(StoreError, match="kinds is damaged"):
        open_in_place(tmp_path / "kinds")
