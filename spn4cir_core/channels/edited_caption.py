"""Channels: the reference's caption as the text changes it, against the gallery's captions, by words and by meaning."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from spn4cir_core.channels.base import ComposedQueries, VectorChannel, WordChannel
from spn4cir_core.texts.caption_words import caption_words


class EditedCaptionWords(WordChannel):
    """The caption that the target should have, word by word."""

    plugin_kind = "edited_caption"
    title = "edited caption in captions"
    whole_caption = True

    @override
    def query_words(self, queries: ComposedQueries, number: int) -> Sequence[str]:
        return caption_words(queries.edited[number].caption)


class EditedCaptionMeaning(VectorChannel):
    """The same by vectors of a sentence encoder: knows that trousers are near to jeans."""

    plugin_kind = "edited_caption_meaning"
    reads_captions = True
    title = "edited caption, by meaning"

    vectors: str = "caption"
