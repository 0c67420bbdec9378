"""Backbone that starts as frozen picture similarity and learns what a text changes; for photographs, offline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.backbones.frozen_backbone import FrozenBackbone
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.models.lite0_levels import Lite0Levels
from spn4cir_core.store.fingerprints import fingerprint

if TYPE_CHECKING:
    from spn4cir_core.backbones.residual.network import ResidualNetwork

VERSION = 5
"""Goes up whenever the same settings train to other weights; checkpoints of earlier versions can be read."""


class Residual(FrozenBackbone):
    """Features of four levels of a frozen EfficientNet-Lite0, a frozen MiniLM, and a residual composer.

    Helps on concepts that training has not seen: whatever the text does not name stays as the frozen features have it.
    Both trunks come with Python packages (extra ``offline``). A picture passes its trunk once and is kept as 5,528
    float16 features, 11 kB.
    """

    plugin_kind: ClassVar[str] = "residual"

    image_px: int = Field(default=224, ge=64, le=512)
    level_dims: int = Field(default=256, ge=8, le=1008)
    """Principal components that are kept of each level; the embedding has four times as many dimensions."""
    hidden: int = Field(default=512, ge=8)
    rank: int = Field(default=64, ge=1)
    """Directions of the image vector that a text can scale."""
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @override
    def fingerprint(self) -> str:
        """As of all frozen backbones, with the version of what training computes with the features."""
        return fingerprint({"frozen": super().fingerprint(), "version": VERSION})

    @override
    def inputs_fingerprint(self) -> str:
        return self._levels.fingerprint()

    @property
    def _levels(self) -> Lite0Levels:
        return Lite0Levels(self.image_px, self.precision)

    @override
    def _network(self, state: Mapping[str, Any]) -> ResidualNetwork:
        from spn4cir_core.backbones.frozen_trunks import FrozenTexts
        from spn4cir_core.backbones.residual.network import ResidualNetwork

        return ResidualNetwork(
            level_dims=state.get("level_dims", [self.level_dims] * 4),
            hidden=self.hidden,
            rank=self.rank,
            dropout=self.dropout,
            read=FirstUse(self._levels.start),
            texts=FrozenTexts(self.precision),
            image_px=self.image_px,
        )
