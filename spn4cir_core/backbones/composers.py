"""Composers: how a reference image and a modified text become one query vector."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from spn4cir_core.engine.plugins import Plugin

if TYPE_CHECKING:
    from spn4cir_core.backbones.composer_networks import ComposerNetwork


class Composer(Plugin):
    """Settings of a composer; :meth:`network` makes its trainable part."""

    @abstractmethod
    def network(self, dim: int, token_dim: int) -> ComposerNetwork:
        """A freshly initialised composer of ``dim``-wide vectors, with ``token_dim``-wide tokens at its disposal."""


class Sum(Composer):
    """The element-wise sum of both vectors (CLIP4CIR's first stage). Robust where true edits are few."""

    plugin_kind: ClassVar[str] = "sum"

    @override
    def network(self, dim: int, token_dim: int) -> ComposerNetwork:
        from spn4cir_core.backbones.composer_networks import SumNetwork

        return SumNetwork()


class GatedResidual(Composer):
    """A gated reference plus a learnt change (TIRG, Vo et al. 2019)."""

    plugin_kind: ClassVar[str] = "gated_residual"

    hidden: int = Field(default=256, ge=8)

    @override
    def network(self, dim: int, token_dim: int) -> ComposerNetwork:
        from spn4cir_core.backbones.composer_networks import GatedResidualNetwork

        return GatedResidualNetwork(dim, self.hidden)


class Combiner(Composer):
    """A learnt mixture of both vectors plus a joint term (the Combiner of CLIP4Cir, Baldrati et al. 2022)."""

    plugin_kind: ClassVar[str] = "combiner"

    hidden: int = Field(default=256, ge=8)
    """Width that each vector is mapped to; published: 2560."""
    joint_hidden: int | None = Field(default=None, ge=8)
    """Width of the layers over both; as ``hidden`` unless given. Published: 5120."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Published: 0.5."""

    @override
    def network(self, dim: int, token_dim: int) -> ComposerNetwork:
        from spn4cir_core.backbones.composer_networks import CombinerNetwork

        return CombinerNetwork(dim, self.hidden, self.dropout, self.joint_hidden)


class CrossAttention(Composer):
    """Transformer layers over image and text tokens, added to the reference. Best where true edits are many."""

    plugin_kind: ClassVar[str] = "cross_attention"

    layers: int = Field(default=2, ge=1)
    heads: Literal[1, 2, 4, 8] = 4

    @override
    def network(self, dim: int, token_dim: int) -> ComposerNetwork:
        from spn4cir_core.backbones.composer_networks import CrossAttentionNetwork

        return CrossAttentionNetwork(dim, token_dim, self.layers, self.heads)
