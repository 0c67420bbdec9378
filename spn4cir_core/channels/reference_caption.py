"""Channel: the words of the reference's own caption in the gallery's captions."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from spn4cir_core.channels.base import ComposedQueries, WordChannel
from spn4cir_core.texts.caption_words import caption_words


class ReferenceCaption(WordChannel):
    """What the reference image is by its caption, whatever the text says."""

    plugin_kind = "reference_caption"
    title = "reference's caption in captions"
    whole_caption = True

    @override
    def query_words(self, queries: ComposedQueries, number: int) -> Sequence[str]:
        return caption_words(queries.reference_captions[number] or "")
