"""Channel: what a picture without a caption has ahead, since captions can only count against those that have one."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from spn4cir_core.channels.base import Channel, ComposedQueries, Gallery


class MissingCaption(Channel):
    """1 for a picture without a caption, where others of the gallery have one; its weight sets the two apart.

    Always takes part where a channel reads captions. Its scores are not calibrated.
    """

    plugin_kind = "missing_caption"
    title = "no caption to compare"

    @override
    def scores(self, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None) -> np.ndarray:
        is_missing_N = ~gallery.captioned_N & gallery.captioned_N.any()
        is_missing_K = is_missing_N if rows_K is None else is_missing_N[rows_K]
        return np.broadcast_to(is_missing_K.astype(np.float32), (len(queries), len(is_missing_K)))
