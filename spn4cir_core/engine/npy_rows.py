"""NumPy files written row by row, by ordinary writes: on a full disk a memory map would end the process instead."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

import numpy as np

from spn4cir_core.engine.processes import Processes


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


def scatter_rows(file: int, rows: int, block: np.ndarray, numbers: Sequence[Sequence[int]]) -> None:
    """Write row i of the block as each of the rows ``numbers[i]``. As :func:`write_rows`."""
    header, flat = header_of(rows, block), np.ascontiguousarray(block).reshape(len(block), -1).view(np.uint8)
    _write(file, header, 0)
    for row, targets in zip(flat, numbers, strict=True):
        for number in targets:
            _write(file, row.data, len(header) + number * row.nbytes)


def header_of(rows: int, block: np.ndarray) -> bytes:
    """The header of a file of ``rows`` rows like those of the block."""
    stream = io.BytesIO()
    header = {"descr": np.lib.format.dtype_to_descr(block.dtype), "fortran_order": False}
    np.lib.format.write_array_header_1_0(stream, {**header, "shape": (rows, *block.shape[1:])})
    return stream.getvalue()


def _write(file: int, data: bytes | memoryview, offset: int) -> None:
    left = memoryview(data)
    while len(left):
        written = os.pwrite(file, left, offset)
        left, offset = left[written:], offset + written


@contextmanager
def scratch_file(folder: Path, processes: Processes) -> Iterator[IO[bytes]]:
    """A file without a name once the block ends. Several processes open it under the name the first one gives."""
    if processes.count == 1:
        with tempfile.TemporaryFile(dir=folder) as file:
            yield file
        return
    path = folder / processes.gather(f".{uuid4().hex}.tmp")[0]
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
        yield file
    path.unlink(missing_ok=True)


def mapped_rows(file: IO[bytes]) -> np.ndarray:
    """The rows of an ``.npy`` file, memory-mapped; the map outlives the file's name."""
    file.seek(0)
    version = np.lib.format.read_magic(file)
    assert version == (1, 0)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    # Written to by nobody, yet mapped for writing: torch warns of arrays that it must not write to.
    return np.memmap(file, dtype, "r+", offset=file.tell(), shape=shape)
