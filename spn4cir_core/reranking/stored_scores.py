"""A reranker's scores of many queries, kept in the store: a killed run goes on, and no query is scored twice."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from PIL import Image

from spn4cir_core.engine.batches import RowJob, fill
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.engine.progress import Progress
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.reranking.base import Reranker, Score
from spn4cir_core.reranking.reordered import OpenedShortlist
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.store.rows import GivenRows

SCORED = pa.struct([("scores", pa.list_(pa.float32())), ("seconds", pa.float64())])
READERS = 2
StoredPicture = tuple[str, str]
"""Path and pixel hash."""


@dataclass(frozen=True)
class ToScore:
    """A composed query and the candidates that it is scored with."""

    text: str
    references: tuple[StoredPicture, ...]
    candidates: tuple[StoredPicture, ...]

    @property
    def key(self) -> str:
        """Hash of all that decides the scores besides the reranker."""
        hashes = [pixel_sha256 for _, pixel_sha256 in (*self.references, *self.candidates)]
        return fingerprint([self.text, len(self.references), hashes])


@dataclass(frozen=True)
class Scored:
    """A query's scores, one for each candidate, and the seconds that they took."""

    scores: Sequence[Score]
    seconds: float


def stored_scores(
    reranker: Reranker,
    queries: Sequence[ToScore],
    files: ImageFiles,
    store: Store,
    progress: Progress,
    seconds: defaultdict[str, float],
    processes: Processes = ALONE,
) -> list[Scored | None]:
    """The scores of each query; None where no candidate got one.

    Args:
        processes: several share the work; all of them must call this.

    Raises:
        InputError: the model cannot be used, or a reference image cannot be read.
    """
    rows = GivenRows(store.rows("rerankings", reranker.fingerprint(files)), SCORED)
    items = {query.key: query for query in queries}
    job = RowJob(
        "reranking",
        rows,
        items,
        lambda query: _opened(query, files, reranker.picture_px),
        _scoring(FirstUse(lambda: reranker.start(files))),
        1,
        reranker.shard_rows,
        READERS,
    )
    fill(job, progress, seconds, processes)
    known = rows.values(items)
    values = [known.get(query.key) for query in queries]
    return [None if value is None else Scored(**value) for value in values]


def _opened(query: ToScore, files: ImageFiles, side_px: int) -> OpenedShortlist:
    references: list[Image.Image] = [files.open(path) for path, _ in query.references]
    return OpenedShortlist.of(files, references, query.text, [path for path, _ in query.candidates], side_px)


def _scoring(score: Callable[..., Sequence[Score]]) -> Callable[[list[OpenedShortlist]], pa.Array]:
    """A function from opened queries to their stored values; null where no candidate got a score."""

    def scored(batch: list[OpenedShortlist]) -> pa.Array:
        values: list[dict[str, Any] | None] = []
        for opened in batch:
            started = time.perf_counter()
            scores = opened.scores(score)
            elapsed = time.perf_counter() - started
            answered = any(one is not None for one in scores)
            values.append({"scores": scores, "seconds": elapsed} if answered else None)
        return pa.array(values, SCORED)

    return scored
