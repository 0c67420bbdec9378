"""Channel: a trained query encoder against target vectors."""

from __future__ import annotations

from spn4cir_core.channels.base import VectorChannel
from spn4cir_core.training.roles import STAGE2


class Trained(VectorChannel):
    """Composes the reference image and the modified text as training has taught it."""

    plugin_kind = "trained"
    title = "trained query encoder"

    vectors: str = STAGE2.name
    """Name of the network's query and target vectors; its ``stage1``, ``control`` or ``stage2`` by convention."""
