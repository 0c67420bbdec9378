"""Channel: the modified text against the pictures themselves, by an encoder that has a text side (CLIP, SigLIP)."""

from __future__ import annotations

from typing_extensions import override

from spn4cir_core.channels.base import VectorChannel


class TextToPicture(VectorChannel):
    """Sees what the text names where no caption does; knows nothing of the reference image."""

    plugin_kind = "text_to_picture"
    title = "modified text against pictures"

    vectors: str = "picture"

    @property
    @override
    def of_query(self) -> str:
        return "text"
