"""Vectors of texts by a frozen text encoder, kept in the store: each text is encoded once for all that need it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from spn4cir_core.engine.batches import RowJob, fill
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.rows import VALUE, Rows

BATCH_ROWS, SHARD_ROWS = 1024, 16_384


class TextEncoder(Protocol):
    """A frozen encoder of texts: a sentence encoder, or the text side of an image encoder."""

    def fingerprint(self) -> str:
        """Hash of all that decides a vector besides the text."""

    def start(self) -> Callable[[Sequence[str]], np.ndarray]:
        """Load the model and return the function from T texts to (T, F) float32 unit vectors."""


def text_features(
    encoder: TextEncoder,
    texts: Sequence[str],
    store: Store,
    *,
    progress: Progress = silent,
    seconds: defaultdict[str, float] | None = None,
    processes: Processes = ALONE,
) -> np.ndarray:
    """(T, F) float32 unit vectors of T texts, in their order; equal texts are encoded once.

    Args:
        processes: several share the encoding; all of them must call this.

    Raises:
        InputError: the model cannot be loaded.
        StoreError: what is kept cannot be read.
    """
    rows = Rows(store.rows("text_features", encoder.fingerprint()), pa.list_(pa.float32()))
    encode = FirstUse(encoder.start)
    job = RowJob(
        "encoding texts",
        rows,
        {text: text for text in texts},
        None,
        lambda batch: pa.array(list(encode(batch)), rows.schema.field(VALUE).type),
        BATCH_ROWS,
        SHARD_ROWS,
        readers=1,
    )
    fill(job, progress, defaultdict(float) if seconds is None else seconds, processes)
    return rows.vectors(texts)
