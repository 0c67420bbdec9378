"""Decode and hash picture files in worker processes; a decoder that crashes, hangs or eats memory costs one file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType

from spn4cir_core.engine.child_processes import child_processes
from spn4cir_core.images.files import ImageFiles, PictureError, decode, pixel_sha256
from spn4cir_core.images.sandboxed_decoder import CPU_S, CRASHED, limit_decoding

CHUNK_FILES = 16


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
        if not paths:
            return
        if self._many is None:
            self._many = child_processes(min(self.workers, -(-len(paths) // CHUNK_FILES)))
        chunks = [paths[start : start + CHUNK_FILES] for start in range(0, len(paths), CHUNK_FILES)]
        futures = [self._many.submit(_examine_chunk, self.examiner, self.files, chunk) for chunk in chunks]
        for chunk, future in zip(chunks, futures, strict=True):
            try:
                findings = future.result()
            except BrokenProcessPool:
                self._many = None
                findings = [self._alone(path) for path in chunk]
            yield from findings

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
