"""Channel: words that the text takes away count against pictures whose captions have them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from spn4cir_core.channels.base import ComposedQueries, Gallery, WordChannel
from spn4cir_core.texts.caption_words import caption_words


class RemovedWords(WordChannel):
    """0 for a caption without any of the words, -1 for one that has them all."""

    plugin_kind = "removed_words"
    title = "words taken away"

    @override
    def query_words(self, queries: ComposedQueries, number: int) -> Sequence[str]:
        return [part for word in queries.edited[number].removed for part in caption_words(word)]

    @override
    def scores(self, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None) -> np.ndarray:
        return -super().scores(gallery, queries, rows_K)

    @override
    def best_rows(self, gallery: Gallery, query: ComposedQueries, count: int) -> np.ndarray:
        """None: no picture is right because it lacks a word."""
        return np.zeros(0, np.int64)
