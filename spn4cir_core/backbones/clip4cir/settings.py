"""CLIP4CIR: an open_clip model whose reference and text features are summed, or put through a composer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from typing_extensions import override

from spn4cir_core.backbones.base import COMPOSERS
from spn4cir_core.backbones.clip_backbone import ClipBackbone
from spn4cir_core.backbones.composers import Composer, Sum
from spn4cir_core.engine.plugins import Choice

if TYPE_CHECKING:
    from spn4cir_core.backbones.clip4cir.network import Clip4CirNetwork


class Clip4Cir(ClipBackbone):
    """CLIP4Cir (Baldrati et al. 2022) as SPN4CIR trains it: both towers in stage 1, the text tower in stage 2.

    With ViT-L/14 on generated triplets alone it is the zero-shot variant of the paper.
    """

    plugin_kind: ClassVar[str] = "clip4cir"

    composer: Annotated[Composer, Choice(COMPOSERS)] = Sum()
    """SPN4CIR sums. The original's second training puts a ``combiner`` with ``stage1_trains = "composer"`` on top."""
    stage1_trains: Literal["everything", "composer"] = "everything"

    @override
    def build(self, texts: Sequence[str], seed: int) -> Clip4CirNetwork:
        """The network with the model's starting weights.

        Raises:
            InputError: the model's weights or configuration cannot be read.
            RecipeError: open_clip knows no such model or tag.
        """
        network = self.build_bare(texts, seed)
        self.fill(network.clip)
        return network

    @override
    def build_bare(self, texts: Sequence[str], seed: int) -> Clip4CirNetwork:
        return self._network(self.described(), seed)

    @override
    def restore(self, state: dict[str, Any]) -> Clip4CirNetwork:
        return self._network(state, 0)

    def _network(self, described: dict[str, Any], seed: int) -> Clip4CirNetwork:
        import torch

        from spn4cir_core.backbones.clip4cir.network import Clip4CirNetwork

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Clip4CirNetwork(
                described,
                preprocessing=self.preprocessing,
                make_composer=self.composer.network,
                stage1_trains=self.stage1_trains,
            )
