"""What the triplets need to know of an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """An image of the manifest; a missing caption is empty."""

    path: str
    pixel_sha256: str
    caption: str
    split: str
    component: int
