"""Colour management: pixels by their embedded ICC profile to sRGB, which every model and colour name expects."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

CHANNELS = {"RGB": "RGB", "CMYK": "CMYK", "L": "GRAY"}
"""Pillow mode → colour space that a profile of it must have (ICC.1:2022, 7.2.6)."""


def to_srgb(image: Image.Image) -> Image.Image:
    """The loaded picture in sRGB; the same object where it has no profile, sRGB's own, a damaged or an unfitting one.

    The intent is relative colorimetric with black-point compensation, as picture editors convert by default.
    Transparency is kept.
    """
    profile = foreign_profile(image)
    if profile is None:
        return image
    from PIL import ImageCms

    opaque, alpha = _without_alpha(image)
    if CHANNELS.get(opaque.mode) != profile.profile.xcolor_space.strip():
        return image
    try:
        converted = ImageCms.profileToProfile(
            opaque,
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, ValueError, OSError):
        return image
    assert converted is not None
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def foreign_profile(image: Image.Image) -> Any:
    """The embedded ICC profile (``ImageCmsProfile``); None where there is none, sRGB's own or a damaged one."""
    data = image.info.get("icc_profile")
    if not isinstance(data, bytes) or not data:
        return None
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        name = ImageCms.getProfileDescription(profile)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return None if "srgb" in name.lower() else profile


def _without_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    if image.has_transparency_data:
        layer = image.convert("LA" if image.mode in ("L", "LA") else "RGBA")
        return layer.convert("L" if layer.mode == "LA" else "RGB"), layer.getchannel("A")
    return (image.convert("RGB") if image.mode == "P" else image), None
