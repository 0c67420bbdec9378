"""Proposed near-duplicates, reduced to those whose pictures agree in colour and detail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spn4cir_core.engine.progress import Progress
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.splits.appearance import APPEARANCE_VERSION, VALUES, Signatures, different_share, signature
from spn4cir_core.splits.near_duplicates import Links
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.rows import KEY, VALUE, Rows

SHARD_PICTURES = 1024
READERS = 2
PAIRS_PER_BLOCK = 1 << 14


def verified_links(
    proposed: Mapping[str, Links], images: pa.Table, files: ImageFiles, store: Store, share: float, progress: Progress
) -> dict[str, Links]:
    """The links, by method, of pictures that disagree in at most ``share`` of the cells of their small versions.

    Only pictures of proposed links are read. The store caches their small versions by pixel hash.

    Args:
        images: the manifest's columns ``path`` and ``pixel_sha256``; links hold its row numbers.

    Raises:
        InputError: a picture cannot be read, or has changed since it was listed.
    """
    rows = np.unique(np.concatenate([pairs.ravel() for pairs, _ in proposed.values()]))
    pictures = images.take(pa.array(rows)).select(["path", "pixel_sha256"])
    signatures = picture_signatures(pictures, files, store, progress)
    return {
        method: _agreeing(np.searchsorted(rows, pairs), (pairs, values), signatures, share)
        for method, (pairs, values) in proposed.items()
    }


def picture_signatures(pictures: pa.Table, files: ImageFiles, store: Store, progress: Progress) -> Signatures:
    """(N, 3072) uint8: the small versions of pictures given by ``path`` and ``pixel_sha256``, in their order."""
    keys = pictures["pixel_sha256"].to_pylist()
    paths = dict(zip(keys, pictures["path"].to_pylist(), strict=True))
    rows = Rows(store.rows("picture_signatures", f"version-{APPEARANCE_VERSION}"), pa.binary(VALUES))
    missing = sorted(paths.keys() - rows.keys())
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(missing), SHARD_PICTURES):
            progress("comparing near-duplicates", len(paths) - len(missing) + start, len(paths))
            shard = missing[start : start + SHARD_PICTURES]
            small = pool.map(lambda key: signature(files.open_known((paths[key], key))).tobytes(), shard)
            rows.append(shard, pa.array(list(small), pa.binary(VALUES)))
    row_of = {key: row for row, key in enumerate(paths)}
    signatures = np.zeros((len(paths), VALUES), np.uint8)
    for key, value in _stored(rows, row_of):
        signatures[row_of[key]] = np.frombuffer(value, np.uint8)
    return signatures[[row_of[key] for key in keys]]


def _stored(rows: Rows, wanted: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    for part in rows.scan():
        for key, value in zip(part[KEY], part[VALUE], strict=True):
            if (name := key.as_py()) in wanted:
                yield name, value.as_py()


def _agreeing(positions_L2: npt.NDArray[np.int64], links: Links, signatures_NS: Signatures, share: float) -> Links:
    agrees = np.zeros(len(positions_L2), bool)
    for start in range(0, len(positions_L2), PAIRS_PER_BLOCK):
        part = positions_L2[start : start + PAIRS_PER_BLOCK]
        different = different_share(signatures_NS[part[:, 0]], signatures_NS[part[:, 1]])
        agrees[start : start + PAIRS_PER_BLOCK] = different <= share
    pairs, values = links
    return pairs[agrees], values[agrees]
