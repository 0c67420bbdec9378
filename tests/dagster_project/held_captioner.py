"""A captioner that holds its step, and with it the pool's slot, for as long as a test wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image
from typing_extensions import override

from spn4cir_core.captions.base import Captioner, ToCaption
from spn4cir_core.images.files import ImageFiles


class Held(Captioner):
    """Captions once somebody has opened and closed its pipe for writing."""

    pipe: str

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        return "held"

    @override
    def prompt(self, image: ToCaption) -> str:
        return ""

    @override
    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str]]:
        Path(self.pipe).read_text(encoding="utf-8")
        return lambda images, pictures: ["a thing"] * len(images)
