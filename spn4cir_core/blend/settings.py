"""Settings of the ``blend`` stage."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from spn4cir_core.channels.base import TRAINING_FREE
from spn4cir_core.embeddings.settings import EmbeddingSettings
from spn4cir_core.engine.plugins import Settings
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.models.sentence_encoder import SentenceEncoder


class BlendSettings(Settings):
    """Which channels may take part, and what their weights are fitted on."""

    optional: ClassVar[frozenset[str]] = frozenset({"sentence_encoder"})

    channels: tuple[str, ...] = TRAINING_FREE
    """Kinds of channels that need no training; those of the trained networks always take part."""
    sentence_encoder: SentenceEncoder | None = SentenceEncoder()
    """Encoder of the channel ``edited_caption_meaning``; without it or its package the channel is left out. Not
    loaded where :attr:`channels` does not name it."""
    max_queries: int = Field(default=500, ge=10)
    """Most validation queries that weights are fitted on."""
    least_annotated: int = Field(default=100, ge=10)
    """From this many annotated queries of the validation split on, weights are fitted on them, else on generated."""

    @property
    def encoder_in_use(self) -> SentenceEncoder | None:
        """The sentence encoder, where a channel reads its vectors."""
        return self.sentence_encoder if "edited_caption_meaning" in self.channels else None


class BlendInput(Settings):
    """The tables of a recipe that this stage reads."""

    blend: BlendSettings
    images: ImageSettings
    image_embeddings: EmbeddingSettings
    seed: int
