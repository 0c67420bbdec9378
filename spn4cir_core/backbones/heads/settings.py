"""Backbone for real photographs, offline: small trained heads on a frozen EfficientNet-Lite0 and a frozen MiniLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.backbones.base import COMPOSERS
from spn4cir_core.backbones.composers import Composer, Sum
from spn4cir_core.backbones.frozen_backbone import FrozenBackbone
from spn4cir_core.engine.plugins import Choice
from spn4cir_core.models.lite0 import weights_file
from spn4cir_core.models.weight_files import weights_sha256
from spn4cir_core.store.fingerprints import fingerprint

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network


class Heads(FrozenBackbone):
    """Both trunks come with Python packages (extra ``offline``); no stage trains them.

    A picture passes its trunk once and is stored as 1,280 features; a text is encoded once for all trainings.
    """

    plugin_kind: ClassVar[str] = "heads"

    dim: int = Field(default=256, ge=8)
    hidden: int = Field(default=512, ge=8)
    image_px: int = Field(default=160, ge=64, le=512)
    composer: Annotated[Composer, Choice(COMPOSERS)] = Sum()

    @override
    def inputs_fingerprint(self) -> str:
        weights = weights_sha256(weights_file())
        return fingerprint({"kind": "lite0", "image_px": self.image_px, "weights": weights})

    @override
    def _network(self, state: Mapping[str, Any]) -> Network:
        from spn4cir_core.backbones.frozen_trunks import FrozenTexts
        from spn4cir_core.backbones.heads.network import HeadsNetwork

        return HeadsNetwork(
            dim=self.dim,
            hidden=self.hidden,
            image_px=self.image_px,
            texts=FrozenTexts(self.precision),
            make_composer=self.composer.network,
        )
