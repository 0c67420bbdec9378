"""The contract of image encoders, and the table of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from spn4cir_core.engine.plugins import Plugin, Room
from spn4cir_core.models.lite0_levels import Lite0Levels


class ImageEncoder(Plugin):
    """Maps images to vectors whose cosine says how alike they look. Settings are fields."""

    reads_texts: ClassVar[bool] = False
    """Whether :meth:`start_texts` maps texts into the space of the images."""

    @property
    def composes(self) -> bool:
        """Whether :meth:`start_composed` maps a picture and a text together into the space of the images."""
        return False

    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of weights and settings: all that decides a vector besides the picture.

        Raises:
            InputError: the weights are missing.
        """

    @property
    def trunk(self) -> Lite0Levels | None:
        """A network whose features the vectors are made of by :meth:`of_features`; kept in the store and shared."""
        return None

    def of_features(self, features_BF: np.ndarray) -> np.ndarray:
        """(B, D) float32 vectors of the features that :attr:`trunk` reads."""
        raise NotImplementedError(f"{type(self).__name__} has a trunk and must say what its vectors are of it")

    @abstractmethod
    def start(self) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        """Load the model and return the function from a batch of B upright RGB images to (B, D) float32.

        Rows need not be normalised. Row i must not depend on the other images of the batch.
        """

    def start_texts(self) -> Callable[[Sequence[str]], np.ndarray]:
        """Load the text side and return the function from B texts to (B, D) float32, comparable with images' rows."""
        raise NotImplementedError(f"{type(self).__name__} reads texts and must say how")

    def start_composed(self) -> Callable[[Sequence[tuple[Image.Image, str]]], np.ndarray]:
        """Load the model and return the function from B reference images, each with a modified text, to (B, D) float32.

        Comparable with images' rows.
        """
        raise NotImplementedError(f"{type(self).__name__} composes and must say how")


IMAGE_ENCODERS = Room(
    "image encoder",
    {
        "lite0": "spn4cir_core.embeddings.lite0_encoder:Lite0Encoder",
        "open_clip": "spn4cir_core.embeddings.open_clip_encoder:OpenClipEncoder",
        "sentence_transformers": ("spn4cir_core.embeddings.sentence_transformers_encoder:SentenceTransformersEncoder"),
        "timm": "spn4cir_core.embeddings.timm_encoder:TimmEncoder",
        "unicom": "spn4cir_core.embeddings.unicom:Unicom",
        "vision_tower": "spn4cir_core.embeddings.vision_tower:VisionTower",
    },
)
