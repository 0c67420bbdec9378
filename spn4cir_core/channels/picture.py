"""Channel: how alike the frozen image encoder finds the reference image and a picture."""

from __future__ import annotations

from spn4cir_core.channels.base import VectorChannel


class Picture(VectorChannel):
    """Helps where the edit is small; knows nothing of the text."""

    plugin_kind = "picture"
    title = "frozen picture similarity"

    vectors: str = "picture"
