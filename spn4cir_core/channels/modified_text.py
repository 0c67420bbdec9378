"""Channel: the modified text's words in the gallery's captions."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from spn4cir_core.channels.base import ComposedQueries, WordChannel
from spn4cir_core.texts.caption_words import caption_words


class ModifiedText(WordChannel):
    """Words that the text takes away are left out: "without sleeves" looks for no sleeves."""

    plugin_kind = "modified_text"
    title = "modified text in captions"

    @override
    def query_words(self, queries: ComposedQueries, number: int) -> Sequence[str]:
        removed = {part for word in queries.edited[number].removed for part in caption_words(word)}
        return [word for word in caption_words(queries.modified_texts[number]) if not removed & set(word.split(" "))]
