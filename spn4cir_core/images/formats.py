"""Picture formats: by the first bytes of a file, whatever its name, and those that an optional extra reads."""

from __future__ import annotations

import importlib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
"""Formats that Pillow itself decodes. Left out on purpose: EPS and PDF start other programs, icons hold pictures whose
size their header does not tell."""
CODECS = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}
"""Format → Pillow's name of its decoder, which a build of Pillow may lack."""
EXTRAS = {"HEIF": ("heif", "pillow_heif"), "JXL": ("jxl", "pillow_jxl")}
"""Format → the extra of this package that reads it, and its module."""
HEAD_BYTES = 32
_SIGNATURES = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "GIF": re.compile(rb"GIF8[79]a"),
    "WEBP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "BMP": re.compile(rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "PPM": re.compile(rb"P[1-6]\s+[#\d]"),
    "AVIF": re.compile(rb".{4}ftypavi[fs]", re.DOTALL),
    "HEIF": re.compile(rb".{4}ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL),
    "JPEG2000": re.compile(rb"\0{3}\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    "JXL": re.compile(rb"\xff\x0a|\0{3}\x0cJXL \r\n\x87\n"),
}


def format_of(head: bytes) -> str:
    """The picture format that the first :data:`HEAD_BYTES` bytes of a file announce; empty for other files."""
    return next((name for name, signature in _SIGNATURES.items() if signature.match(head)), "")


def file_format(path: Path) -> str:
    """As :func:`format_of`; empty too where the path leads to no file that can be read."""
    try:
        if not path.is_file():  # a pipe would never answer
            return ""
        with path.open("rb") as stream:
            return format_of(stream.read(HEAD_BYTES))
    except OSError:
        return ""


@cache
def readable_formats() -> tuple[str, ...]:
    """Pillow's formats and those of the installed extras, which are registered with Pillow."""
    return (
        *filter(_is_built, FORMATS),
        *(name for name, (_, module) in EXTRAS.items() if find_spec(module) and _register(module)),
    )


def missing_extra(head: bytes) -> str:
    """The extra that would read a file with these first bytes, if it needs one that is not installed; else empty."""
    name = format_of(head)
    return EXTRAS[name][0] if name in EXTRAS and name not in readable_formats() else ""


def missing_codec(head: bytes) -> str:
    """The format that a file with these first bytes has, if this build of Pillow lacks its decoder; else empty."""
    name = format_of(head)
    return name if name in CODECS and name not in readable_formats() else ""


def _is_built(name: str) -> bool:
    from PIL import features

    return name not in CODECS or bool(features.check(CODECS[name]))


def _register(module: str) -> bool:
    loaded = importlib.import_module(module)
    if module == "pillow_heif":
        loaded.register_heif_opener()
    return True
