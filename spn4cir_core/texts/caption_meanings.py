"""What captions say, as digests that the store keeps caption by caption: a grown corpus reads those of its new ones."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa

from spn4cir_core.engine.batches import RowJob, filled
from spn4cir_core.engine.progress import Progress
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.store.rows import Rows, row_key
from spn4cir_core.texts.differences import caption_meaning

MEANING_VERSION = 1
"""Goes up whenever :func:`.differences.caption_meaning` joins or parts captions otherwise than before."""
DIGEST_BYTES = 16
BATCH_ROWS, SHARD_ROWS = 4096, 1 << 16


def meaning_digest(caption: str) -> bytes:
    """Sixteen bytes, equal for captions of equal :func:`.differences.caption_meaning`; none for one that says nothing.

    Two captions that say different things have equal digests with a probability of 2⁻¹²⁸.
    """
    meaning = caption_meaning(caption)
    return hashlib.blake2b(repr(meaning).encode(), digest_size=DIGEST_BYTES).digest() if meaning else b""


def meaning_digests(
    captions: Iterable[str], store: Store, progress: Progress, seconds: defaultdict[str, float]
) -> dict[str, bytes]:
    """The digest of each caption, by caption."""
    key_of = {caption: row_key(caption) for caption in dict.fromkeys(captions)}
    job = RowJob(
        "what captions say",
        Rows(store.rows("caption_meanings", fingerprint({"version": MEANING_VERSION})), pa.binary()),
        {key: caption for caption, key in key_of.items()},
        None,
        lambda batch: pa.array(map(meaning_digest, batch), pa.binary()),
        BATCH_ROWS,
        SHARD_ROWS,
        readers=1,
    )
    digest_of, _ = filled(job, progress, seconds)
    return {caption: digest_of[key] for caption, key in key_of.items()}
