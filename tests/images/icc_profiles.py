"""ICC profiles made from scratch (ICC.1:2001-04): colourants in D50 or a grey, with a gamma; a press by its inks."""

from __future__ import annotations

import itertools
import struct

Colour = tuple[float, float, float]
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
WHITE: Colour = (0.9642, 1.0, 0.8249)
PAPER: Colour = (100.0, 0.0, 0.0)
INKS: dict[tuple[int, int, int], Colour] = {
    (0, 0, 0): PAPER,
    (1, 0, 0): (66.2, -20.6, -43.7),
    (0, 1, 0): (52.1, 80.3, -7.0),
    (0, 0, 1): (94.3, -9.8, 91.1),
    (1, 1, 0): (25.4, 24.8, -55.1),
    (1, 0, 1): (59.7, -52.5, 33.0),
    (0, 1, 1): (51.6, 74.1, 53.7),
    (1, 1, 1): (20.0, 0.0, 0.0),
}
"""Full cyan, magenta and yellow, one over the other, as L*a*b* under D50: near SWOP's. Black covers all."""


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def xyz(colour: Colour) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(fixed, colour))


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def description(name: str) -> bytes:
    text = name.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78


def profile(
    space: bytes, name: str, tags: dict[bytes, bytes], device: bytes = b"mntr", connection: bytes = b"XYZ "
) -> bytes:
    tags = {b"desc": description(name), b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz(WHITE), **tags}
    table, data, start = b"", b"", 132 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + struct.pack(">II", start + len(data), len(content))
        data += content + b"\0" * (-len(content) % 4)
    head = bytearray(128)
    struct.pack_into(">I4sI4s4s4s", head, 0, start + len(data), b"\0" * 4, 0x02400000, device, space, connection)
    head[36:40] = b"acsp"
    head[68:80] = b"".join(map(fixed, WHITE))
    return bytes(head) + struct.pack(">I", len(tags)) + table + data


def rgb_profile(name: str, colourants: tuple[Colour, Colour, Colour], gamma: float = 2.2) -> bytes:
    tags = {letter + b"XYZ": xyz(colour) for letter, colour in zip((b"r", b"g", b"b"), colourants, strict=True)}
    return profile(b"RGB ", name, tags | {letter + b"TRC": curve(gamma) for letter in (b"r", b"g", b"b")})


def grey_profile(gamma: float) -> bytes:
    return profile(b"GRAY", "Grey", {b"kTRC": curve(gamma)})


def press_profile() -> bytes:
    """A CMYK profile as presses have them: a table (``mft1``) from inks to L*a*b*, here of full inks alone."""
    identity = bytes(range(256))
    matrix = b"".join(map(fixed, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + identity * 4
    for *inks, black in itertools.product((0, 1), repeat=4):
        light, a, b = (0.0, 0.0, 0.0) if black else INKS[inks[0], inks[1], inks[2]]
        table += bytes((round(light * 2.55), round(a) + 128, round(b) + 128))
    return profile(b"CMYK", "A press", {b"A2B0": table + identity * 3}, b"prtr", b"Lab ")
