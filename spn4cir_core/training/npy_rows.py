"""NumPy files written row by row, by ordinary writes: on a full disk a memory map would end the process instead."""

from __future__ import annotations

import io
import os

import numpy as np


def write_rows(file: int, rows: int, start: int, block: np.ndarray) -> None:
    """Write rows from ``start`` on into the ``.npy`` file of that many rows behind a descriptor.

    The blocks may come in any order and from several processes: each writes the same header, and its own rows.

    Raises:
        OSError: the disk is full.
    """
    header, block = header_of(rows, block), np.ascontiguousarray(block)
    _write(file, header, 0)
    if len(block):
        _write(file, block.reshape(-1).view(np.uint8).data, len(header) + start * (block.nbytes // len(block)))


def header_of(rows: int, block: np.ndarray) -> bytes:
    """The header of a file of ``rows`` rows like those of the block."""
    stream = io.BytesIO()
    told = {"descr": np.lib.format.dtype_to_descr(block.dtype), "fortran_order": False}
    np.lib.format.write_array_header_1_0(stream, {**told, "shape": (rows, *block.shape[1:])})
    return stream.getvalue()


def _write(file: int, data: bytes | memoryview, offset: int) -> None:
    left = memoryview(data)
    while len(left):
        written = os.pwrite(file, left, offset)
        left, offset = left[written:], offset + written
