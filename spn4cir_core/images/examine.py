"""Decode and hash picture files in worker processes; a decoder that crashes, hangs or eats memory costs one file."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

from spn4cir_core.engine.child_processes import child_processes
from spn4cir_core.images.files import ImageFiles, PictureError, decode, pixel_sha256
from spn4cir_core.images.sandboxed_decoder import CPU_S, CRASHED, limit_decoding

CHUNK_FILES, CHUNKS_AHEAD = 16, 64
"""Files that a process is given at a time; chunks that wait in its queue while what was found is stored."""


@dataclass(frozen=True)
class Finding:
    """What a file's bytes turned out to be; ``reason`` is empty for a picture."""

    sha256: str
    reason: str = ""
    detail: str = ""
    width: int = 0
    height: int = 0
    bytes: int = 0
    pixel_sha256: str = ""
    phash: int = 0


def examine(files: ImageFiles, path: str) -> Finding:
    """Decode one file and hash its bytes, its pixels and its look. Never raises on account of the file."""
    from spn4cir_core.images.phash import phash

    sha256 = ""
    try:
        data = files.read(path)
        sha256 = hashlib.sha256(data).hexdigest()
        image = decode(data, files.max_pixels)
    except PictureError as error:
        return Finding(sha256, error.reason, error.detail)
    except MemoryError:
        return Finding("", CRASHED, f"it needs more memory than a picture of {files.max_pixels:,} pixels can")
    return Finding(sha256, "", "", image.width, image.height, len(data), pixel_sha256(image), phash(image))


class Begun(NamedTuple):
    """Files that a pool examines; without a future where it had died before it could take them."""

    chunk: Sequence[str]
    pool: ProcessPoolExecutor
    future: Future[list[Finding]] | None


class Examiners:
    """Worker processes that examine files; use as a context manager.

    They are spawned, never forked: the caller may have threads. When a process dies on a file, the files
    that were in flight are examined one by one, so that only the one that kills it is lost.
    """

    def __init__(
        self, files: ImageFiles, workers: int, examiner: Callable[[ImageFiles, str], Finding] = examine
    ) -> None:
        self.files, self.workers, self.examiner = files, workers, examiner
        self._many: ProcessPoolExecutor | None = None
        self._lone: ProcessPoolExecutor | None = None

    def __enter__(self) -> Examiners:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in (self._many, self._lone):
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def run(self, paths: Sequence[str]) -> Iterator[Finding]:
        """Yield the finding of each path, in order.

        Raises:
            Spn4cirError: no worker process can be started.
        """
        chunks = [paths[start : start + CHUNK_FILES] for start in range(0, len(paths), CHUNK_FILES)]
        begun: deque[Begun] = deque()
        for chunk in chunks:
            begun.append(self._begin(chunk, min(self.workers, len(chunks))))
            if len(begun) > CHUNKS_AHEAD:
                yield from self._finish(begun.popleft())
        while begun:
            yield from self._finish(begun.popleft())

    def _begin(self, chunk: Sequence[str], workers: int) -> Begun:
        if self._many is None:
            self._many = child_processes(workers)
        pool = self._many
        try:
            return Begun(chunk, pool, pool.submit(_examine_chunk, self.examiner, self.files, chunk))
        except BrokenProcessPool:  # by a chunk before, whose own turn comes
            return Begun(chunk, pool, None)

    def _finish(self, begun: Begun) -> list[Finding]:
        try:
            if begun.future is not None:
                return begun.future.result()
        except BrokenProcessPool:
            pass
        if self._many is begun.pool:
            self._many = None
        return [self._alone(path) for path in begun.chunk]

    def _alone(self, path: str) -> Finding:
        if self._lone is None:
            self._lone = child_processes(1)
        try:
            return self._lone.submit(_examine_chunk, self.examiner, self.files, [path]).result()[0]
        except BrokenProcessPool:
            self._lone = None
            return Finding("", CRASHED, f"the process that decoded it died, or took more than {CPU_S} s of computing")


def _examine_chunk(
    examiner: Callable[[ImageFiles, str], Finding], files: ImageFiles, paths: Sequence[str]
) -> list[Finding]:
    findings = []
    for path in paths:
        limit_decoding(files.max_pixels)
        findings.append(examiner(files, path))
    return findings
