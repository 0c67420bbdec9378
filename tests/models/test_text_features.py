"""Texts are encoded once, whoever asks; the rest comes from the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from spn4cir_core.models.sentence_encoder import SentenceEncoder
from spn4cir_core.models.text_features import text_features
from spn4cir_core.store.artifacts import Store


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that an encoder was asked for; a text's vector is its length and its first letter."""
    texts: list[str] = []

    def start(_: SentenceEncoder) -> Callable[[Sequence[str]], np.ndarray]:
        def encode(batch: Sequence[str]) -> np.ndarray:
            texts.extend(batch)
            return np.array([[len(text), ord(text[0])] for text in batch], np.float32)

        return encode

    monkeypatch.setattr(SentenceEncoder, "start", start)
    monkeypatch.setattr(SentenceEncoder, "fingerprint", lambda encoder: encoder.pooling)
    return texts


def test_only_new_texts_are_encoded_and_rows_follow_the_asker(tmp_path: Path, encoded: list[str]) -> None:
    store, encoder = Store(tmp_path), SentenceEncoder()
    first = text_features(encoder, ["red", "blue", "red"], store)
    assert first.tolist() == [[3, ord("r")], [4, ord("b")], [3, ord("r")]]
    again = text_features(encoder, ["green", "red"], store)
    assert again.tolist() == [[5, ord("g")], [3, ord("r")]]
    assert encoded == ["blue", "red", "green"]
    text_features(SentenceEncoder(pooling="first"), ["red"], store)
    assert encoded[3:] == ["red"]
    assert len(text_features(encoder, [], store)) == 0
