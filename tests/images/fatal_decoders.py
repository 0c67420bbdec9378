"""Pillow decoders that do not come back, for worker processes: a file that starts with a magic word meets its own."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Any

from PIL import Image, ImageFile

from spn4cir_core.images import sandboxed_decoder as confined
from spn4cir_core.images.examine import Finding, examine
from spn4cir_core.images.files import ImageFiles

WORDS = (b"P6ABORT", b"P6SEGV", b"P6HANG", b"P6MEMORY", b"P6KILLED")


class Fatal(ImageFile.ImageFile):
    """Takes the place of Pillow's reader of PPM files."""

    format, format_description = "PPM", "fatal"

    def _open(self) -> None:
        assert self.fp is not None
        self.word = self.fp.read(20).strip()
        self._size, self._mode = (9, 9), "RGB"

    def load(self) -> Any:
        if self.word == b"P6ABORT":
            os.abort()
        if self.word == b"P6SEGV":
            ctypes.string_at(0)
        if self.word == b"P6KILLED":  # as the system does when memory runs out
            os.kill(os.getpid(), signal.SIGKILL)
        eaten = []
        while True:
            if self.word == b"P6MEMORY":
                eaten.append(bytes(1 << 26))


def install() -> None:
    """Put them in place; the limits of this process are lowered, so that tests are quick."""
    if confined.CPU_S > 1:
        confined.CPU_S, confined.SPARE_BYTES = 1, 1 << 28
        Image.init()
        Image.register_open("PPM", Fatal, lambda prefix: prefix.startswith(b"P6"))


def examine_with_fatal_decoders(files: ImageFiles, path: str) -> Finding:
    """As :func:`examine`."""
    install()
    confined.limit_decoding(files.max_pixels)
    return examine(files, path)


def decode_with_fatal_decoders(data: bytes, max_pixels: int) -> tuple[tuple[int, int], bytes]:
    """As the confined decoder's process does it."""
    install()
    return confined._decode(data, max_pixels)
