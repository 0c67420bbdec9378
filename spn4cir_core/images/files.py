"""Opening pictures of the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from spn4cir_core.artifacts import Store
    from spn4cir_core.images.settings import ImageSettings


@dataclass(frozen=True)
class ImageFiles:
    """Opens pictures by the paths of the manifest, below one root."""

    root: Path
    max_pixels: int = 50_000_000

    def open(self, path: str) -> Image.Image:
        """Decode one picture: upright (EXIF), RGB, transparency over white, 16 bit scaled to 8.

        Raises:
            InputError: the path leaves the root, or the file cannot be decoded or is too large.
        """
        raise NotImplementedError


def image_files(settings: ImageSettings, store: Store) -> ImageFiles:
    """The opener of the recipe's pictures."""
    return ImageFiles(settings.reader.root(store.root), settings.max_pixels)
