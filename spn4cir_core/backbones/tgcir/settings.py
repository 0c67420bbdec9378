"""TG-CIR: global and local tokens of a CLIP, gated token by token between reference and text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from spn4cir_core.backbones.clip_backbone import ClipBackbone
from spn4cir_core.errors import RecipeError
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint

if TYPE_CHECKING:
    from spn4cir_core.backbones.tgcir.network import TgCirNetwork


class TgCir(ClipBackbone):
    """TG-CIR (Wen et al. 2023), written anew from its description: as SPN4CIR uses it, the composing student alone.

    The original's teacher, which sees the target, belongs to its own first stage: ``teacher`` and the objective
    ``target_guided``. Or start from the published stage-1 file (``start_from``).
    """

    plugin_kind: ClassVar[str] = "tgcir"

    model: str = Field(default="ViT-B-16-quickgelu", min_length=1)
    """See :class:`ClipBackbone`; the visual tower must be a vision transformer."""
    preprocessing: Literal["target_pad", "clip"] = "clip"
    global_tokens: int = Field(default=4, ge=1, le=64)
    """Masked copies of the pooled feature; the embedding's width must be a multiple of it."""
    local_tokens: int = Field(default=8, ge=1, le=64)
    """Weighted means over the last layer's tokens."""
    teacher: Annotated[bool, OmitDefaultFromFingerprint()] = False
    """Also have a composing teacher, which the objective ``target_guided`` trains and learns from in stage 1. Stage 2
    and searches never use it; published files start it anew."""

    @override
    def build(self, texts: Sequence[str], seed: int) -> TgCirNetwork:
        """The network with the model's starting weights.

        Raises:
            InputError: the model's weights or configuration cannot be read.
            RecipeError: open_clip knows no such model or tag, or it has no vision transformer.
        """
        network = self.build_bare(texts, seed)
        self.fill(network.clip)
        return network

    @override
    def build_bare(self, texts: Sequence[str], seed: int) -> TgCirNetwork:
        described = self.described()
        config = described["model_cfg"]
        vision = config["vision_cfg"]
        if config.get("custom_text") or "timm_model_name" in vision or not isinstance(vision["layers"], int):
            raise RecipeError(
                f"backbone 'tgcir' reads tokens of OpenAI's vision transformer, which {self.model!r} is not"
            )
        if config["embed_dim"] % self.global_tokens:
            raise RecipeError(
                f"backbone 'tgcir': global_tokens = {self.global_tokens} does not divide the "
                f"{config['embed_dim']} dimensions of {self.model!r}"
            )
        return self._network(described, seed)

    @override
    def restore(self, state: dict[str, Any]) -> TgCirNetwork:
        described = {name: value for name, value in state.items() if name != "query_encoder_is_apart"}
        network = self._network(described, 0)
        if state["query_encoder_is_apart"]:
            network.untie_query_encoder()
        return network

    def _network(self, described: dict[str, Any], seed: int) -> TgCirNetwork:
        import torch

        from spn4cir_core.backbones.tgcir.network import TgCirNetwork

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return TgCirNetwork(
                described,
                preprocessing=self.preprocessing,
                global_tokens=self.global_tokens,
                local_tokens=self.local_tokens,
                teacher=self.teacher,
            )
