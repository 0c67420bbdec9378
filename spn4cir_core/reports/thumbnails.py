"""Small pictures inside the page, as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles

if TYPE_CHECKING:
    from PIL import Image

SIDE_PX, QUALITY = 112, 68


class Thumbnails:
    """Makes each image's thumbnail once."""

    def __init__(self, files: ImageFiles, paths: Mapping[str, str], side_px: int = SIDE_PX) -> None:
        self._files, self._paths, self._side_px = files, paths, side_px
        self._made: dict[str, str] = {}

    def uri(self, image_id: str) -> str:
        """JPEG data URI of at most ``side_px`` a side; empty where the picture cannot be opened any more."""
        if image_id not in self._made:
            self._made[image_id] = self._make(image_id)
        return self._made[image_id]

    def picture(self, image_id: str) -> Image.Image | None:
        """At most ``side_px`` a side, RGB; None where the picture cannot be opened any more."""
        try:
            picture = self._files.open(self._paths[image_id])
        except (InputError, KeyError):
            return None
        picture.thumbnail((self._side_px, self._side_px))
        return picture

    def _make(self, image_id: str) -> str:
        picture = self.picture(image_id)
        if picture is None:
            return ""
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=QUALITY, optimize=True)
        return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
