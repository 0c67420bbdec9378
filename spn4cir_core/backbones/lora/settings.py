"""Backbone that trains low-rank adapters inside an encoder that reads pictures and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field
from typing_extensions import override

from spn4cir_core.backbones.base import COMPOSERS, Backbone
from spn4cir_core.backbones.composers import Composer, Sum
from spn4cir_core.embeddings.base import IMAGE_ENCODERS, ImageEncoder
from spn4cir_core.embeddings.sentence_transformers_encoder import SentenceTransformersEncoder
from spn4cir_core.engine.plugins import Choice
from spn4cir_core.store.fingerprints import fingerprint

if TYPE_CHECKING:
    from spn4cir_core.backbones.lora.network import LoraNetwork


def _takes_adapters(encoder: ImageEncoder) -> SentenceTransformersEncoder:
    if not isinstance(encoder, SentenceTransformersEncoder):
        raise ValueError(
            f"adapters go into a model of sentence-transformers, and not into {encoder.plugin_kind!r}; the backbone "
            "'frozen' trains heads on any encoder that reads texts"
        )
    return encoder


class Lora(Backbone):
    """A frozen encoder whose linear layers get a trained change of low rank: ``W x + (alpha / rank) · B A x``.

    Source: LoRA (Hu et al. 2022), by peft. B begins as zero, so that an untrained network is the encoder as it is
    downloaded. Stage 1 trains one adapter for pictures, texts and queries; stage 2 goes on with a copy of it on the
    query's side. Checkpoints hold the adapters alone. Each step runs the whole encoder, its picture processor too.
    """

    plugin_kind: ClassVar[str] = "lora"

    encoder: Annotated[SentenceTransformersEncoder, Choice(IMAGE_ENCODERS), AfterValidator(_takes_adapters)]
    """The table of a ``sentence_transformers`` image encoder; with ``together = true`` a query goes in as one."""
    rank: int = Field(default=8, ge=1, le=1024)
    """Of each layer's change."""
    alpha: int = Field(default=16, ge=1)
    """The change is multiplied by ``alpha / rank``."""
    layers: tuple[str, ...] = ()
    """Last parts of the names of the linear layers that get one, such as ``["q_proj", "v_proj"]``; empty: all."""
    image_px: int = Field(default=224, ge=16, le=2048)
    """Pictures become squares of this side (TargetPad, as CLIP4Cir has it) before the model's own processor."""
    composer: Annotated[Composer, Choice(COMPOSERS)] = Sum()
    """Joins the vectors of picture and text; not used for an encoder that reads them together."""

    @override
    def extras(self) -> tuple[str, ...]:
        return ("sentence", "lora")

    @override
    def fingerprint(self) -> str:
        return fingerprint({"settings": self, "weights": self.encoder.fingerprint()})

    @override
    def inputs_fingerprint(self) -> str:
        return fingerprint({"squares": "target_pad", "px": self.image_px})

    @override
    def text_tokenizer(self) -> tuple[str, int]:
        """Words, up to CLIP's limit: the encoder's own tokenizer is not known before it is loaded."""
        return "words", 77

    @override
    def build(self, texts: Sequence[str], seed: int) -> LoraNetwork:
        """See the base class.

        Raises:
            InputError: the encoder cannot be loaded, or has no linear layer of these names.
            MissingExtra: peft is not installed.
        """
        import torch

        from spn4cir_core.backbones.lora.adapters import AdaptedEncoder
        from spn4cir_core.backbones.lora.network import LoraNetwork

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            adapted = AdaptedEncoder(self.encoder, self.rank, self.alpha, self.layers)
            return LoraNetwork(adapted, self.image_px, self.composer.network)

    @override
    def restore(self, state: dict[str, Any]) -> LoraNetwork:
        network = self.build([], 0)
        if state["query_encoder_is_apart"]:
            network.untie_query_encoder()
        return network
