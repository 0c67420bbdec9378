"""Texts are looked up in a column as in a dictionary."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.index import text_rows
from spn4cir_core.index.text_rows import TextRows, Texts


@pytest.mark.parametrize("in_memory", [1, 7, 1 << 16])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_rows_are_those_of_a_dictionary(in_memory: int, is_sorted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_rows, "IN_MEMORY", in_memory)
    letters, rng = ["a", "b", "ä", "z", "\U0001f600", "\uffff", "日"], np.random.default_rng(in_memory)
    texts = ["".join(rng.choice(letters, rng.integers(0, 4))) for _ in range(200)]
    texts = sorted(texts) if is_sorted else texts
    rows, wanted = TextRows(pa.array(texts, pa.large_string())), {text: row for row, text in enumerate(texts)}
    assert {text: rows[text] for text in wanted} == wanted
    others = {text + "b" for text in texts} | {"", "\x00", "\U0010ffff"}
    assert all(rows.get(text) == wanted.get(text) for text in others)
    assert list(rows) == texts and len(rows) == 200


def test_no_text_has_no_row() -> None:
    rows = TextRows(pa.array([], pa.large_string()))
    assert "a" not in rows and list(rows) == []
    with pytest.raises(KeyError):
        rows["a"]


def test_texts_are_a_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_rows, "READ_TOGETHER", 2)
    words = ["b", "", "a", "c", "b"]
    texts = Texts(pa.array(words))
    assert list(texts) == words and texts[1:4] == words[1:4] and texts[-1] == "b" and len(texts) == 5
