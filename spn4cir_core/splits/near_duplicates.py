"""Pairs of pictures that look the same: by perceptual hash, and by embedding."""

from __future__ import annotations

from itertools import count, pairwise

import numpy as np

from spn4cir_core.engine.blas_threads import one_blas_thread
from spn4cir_core.errors import InputError

HASH_BITS = 64
INFORMATIVE_BITS = 16
"""A hash has 32 set bits unless half its frequencies vanish: flat pictures, whose hashes say nothing."""
BLOCK_ROWS = 1024
MARGIN = 2e-3
"""Products of stored, rounded vectors differ from exact cosines by less, whatever the number of threads."""
MOST_LINKS = 20_000_000
MOST_PER_HASH = 64
"""Pictures of one hash that each picture of that hash, or of a near one, is compared with."""
SAMPLE_ROWS, SAMPLE_BLOCK = 512, 64
CANDIDATES_PER_IMAGE = 32

Links = tuple[np.ndarray, np.ndarray]
"""Pairs (L, 2) int64 with first < second, sorted; and their similarity (L,) float32."""


def phash_links(phash_N: np.ndarray, bits: int) -> Links:
    """Pairs of 64-bit hashes (N,) uint64 that differ in at most ``bits`` bits; similarity 1 − bits / 64.

    Of ``bits + 1`` slices of two such hashes at least one is equal (pigeonhole), so only hashes with an
    equal slice are compared. Equal hashes are linked in a chain, not all with all.

    Raises:
        InputError: there are too many pairs to be duplicates.
    """
    informative = np.flatnonzero(np.bitwise_count(phash_N) >= INFORMATIVE_BITS)
    order = informative[np.argsort(phash_N[informative], kind="stable")]
    ordered = phash_N[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(order) else order
    equal = np.flatnonzero(ordered[1:] == ordered[:-1])
    chains = np.stack([order[equal], order[equal + 1]], axis=1)
    first, distinct = order[starts], ordered[starts]
    pairs = np.concatenate([chains, first[_near_hashes(distinct, bits)]])
    return sorted_links(pairs, _hash_similarity(phash_N, pairs))


def phash_candidates(phash_N: np.ndarray, bits: int) -> Links:
    """As ``phash_links``, for links that are verified afterwards: equal hashes are linked all with all, since a chain
    would break where two pictures of equal hash differ in colour.

    Of more than ``MOST_PER_HASH`` pictures with one hash, each is linked to that many that follow it in the manifest.

    Raises:
        InputError: there are too many pairs to be duplicates.
    """
    distinct, hash_of_N = np.unique(phash_N, return_inverse=True)
    members = np.split(np.argsort(hash_of_N, kind="stable"), np.cumsum(np.bincount(hash_of_N, minlength=1))[:-1])
    informative = np.flatnonzero(np.bitwise_count(distinct) >= INFORMATIVE_BITS)
    equal = [
        np.stack([rows[:-lag], rows[lag:]], axis=1)
        for rows in (members[number] for number in informative.tolist())
        for lag in range(1, min(len(rows), MOST_PER_HASH + 1))
    ]
    near = [
        np.stack(np.meshgrid(members[one][:MOST_PER_HASH], members[other][:MOST_PER_HASH]), axis=-1).reshape(-1, 2)
        for one, other in informative[_near_hashes(distinct[informative], bits)].tolist()
    ]
    pairs = np.concatenate([np.empty((0, 2), np.int64), *equal, *near])
    refuse_flood(len(pairs), len(phash_N), f"perceptual hashes that differ in {bits} bits")
    return sorted_links(pairs, _hash_similarity(phash_N, pairs))


def _near_hashes(hashes_N: np.ndarray, bits: int) -> np.ndarray:
    """Positions (L, 2) of distinct hashes that differ in at most ``bits`` bits."""
    if not bits:
        return np.empty((0, 2), np.int64)
    return np.unique(
        np.concatenate([_slice_links(hashes_N, start, width, bits) for start, width in _slices(bits + 1)]), axis=0
    )


def _hash_similarity(phash_N: np.ndarray, pairs_L2: np.ndarray) -> np.ndarray:
    distance = np.bitwise_count(phash_N[pairs_L2[:, 0]] ^ phash_N[pairs_L2[:, 1]])
    similarity: np.ndarray = 1 - distance.astype(np.float32) / HASH_BITS
    return similarity


def embedding_links(vectors_ND: np.ndarray, cosine: float) -> Links:
    """Pairs of unit rows (N, D) whose cosine is at least ``cosine``, with the cosine.

    Takes N² D / 2 products, in blocks; the decision is made on products in float64, so that it does not
    depend on how a block was computed.

    Raises:
        InputError: there are too many pairs to be duplicates.
    """
    total = len(vectors_ND)
    pairs: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for start in range(0, total, BLOCK_ROWS):
        block_BD = np.asarray(vectors_ND[start : start + BLOCK_ROWS], dtype=np.float32)
        for other in range(start, total, 16 * BLOCK_ROWS):
            others_MD = np.asarray(vectors_ND[other : other + 16 * BLOCK_ROWS], dtype=np.float32)
            row, column = np.nonzero(block_BD @ others_MD.T >= cosine - MARGIN)
            later = row + start < column + other
            row, column = row[later], column[later]
            exact = cosines(block_BD[row], others_MD[column])
            near = exact >= cosine - 1e-9
            pairs.append(np.stack([row[near] + start, column[near] + other], axis=1))
            values.append(exact[near].astype(np.float32))
        refuse_flood(sum(map(len, pairs)), total, f"near_duplicate_cosine = {cosine}")
    if not pairs:
        return np.empty((0, 2), np.int64), np.empty(0, np.float32)
    return sorted_links(np.concatenate(pairs), np.concatenate(values))


def candidate_cosine(vectors_ND: np.ndarray, wanted: float, strictest: float) -> float:
    """The cosine from which pairs are compared by their pictures: ``wanted``, raised up to ``strictest`` where it would
    propose more than about ``CANDIDATES_PER_IMAGE`` pairs an image (an encoder by which all pictures are similar).
    """
    total = len(vectors_ND)
    rank = total - CANDIDATES_PER_IMAGE - 1
    if rank <= 0:
        return wanted
    rows = np.unique(np.linspace(0, total - 1, SAMPLE_ROWS).astype(np.int64))
    others, highest = np.asarray(vectors_ND, np.float32), max(wanted, strictest)
    blocks = np.split(others[rows], range(SAMPLE_BLOCK, len(rows), SAMPLE_BLOCK))
    about = np.mean([np.partition(block @ others.T, rank, axis=1)[:, rank].mean() for block in blocks])
    if not wanted - MARGIN <= about <= highest + MARGIN:
        return float(np.clip(about, wanted, highest))
    with one_blas_thread():  # row by row: the last bits of products in blocks depend on the threads
        nth = [np.partition(others[row] @ others.T, rank)[rank] for row in rows.tolist()]
    return float(np.clip(np.mean(nth), wanted, highest))


def cosines(a_LD: np.ndarray, b_LD: np.ndarray) -> np.ndarray:
    """(L,) cosines in float64, row by row."""
    a_LD, b_LD = a_LD.astype(np.float64), b_LD.astype(np.float64)
    cosines: np.ndarray = np.einsum("ld,ld->l", a_LD, b_LD)
    cosines /= np.linalg.norm(a_LD, axis=1) * np.linalg.norm(b_LD, axis=1)
    return cosines


def _slices(parts: int) -> list[tuple[int, int]]:
    """(first bit, width) of ``parts`` slices of about equal width."""
    edges = [HASH_BITS * part // parts for part in range(parts + 1)]
    return [(low, high - low) for low, high in pairwise(edges)]


def _slice_links(hashes_N: np.ndarray, start: int, width: int, bits: int) -> np.ndarray:
    """Pairs of positions whose slice is equal and whose hashes differ in at most ``bits`` bits."""
    keys = (hashes_N >> np.uint64(start)) & np.uint64((1 << width) - 1)
    order = np.argsort(keys, kind="stable")
    keys, hashes = keys[order], hashes_N[order]
    pairs = [np.empty((0, 2), np.int64)]
    alive = np.arange(len(order))
    for lag in count(1):
        alive = alive[alive + lag < len(order)]
        alive = alive[keys[alive] == keys[alive + lag]]
        if not len(alive):
            return np.concatenate(pairs)
        near = alive[np.bitwise_count(hashes[alive] ^ hashes[alive + lag]) <= bits]
        pairs.append(np.sort(np.stack([order[near], order[near + lag]], axis=1), axis=1))
        refuse_flood(sum(map(len, pairs)), len(order), f"near_duplicate_bits = {bits}")
    raise AssertionError("unreachable: count() does not end")


def refuse_flood(links: int, images: int, setting: str) -> None:
    """Raise InputError where there are too many links to be those of near-duplicates."""
    if links > MOST_LINKS:
        raise InputError(
            f"{setting} makes more than {links:,} near-duplicate pairs of {images:,} images: this corpus's pictures "
            "differ in less. Set it stricter, or take the method out of splits.near_duplicates_by"
        )


def sorted_links(pairs: np.ndarray, values: np.ndarray) -> Links:
    """Each pair ascending, and the pairs by first and second."""
    pairs = np.sort(pairs, axis=1).astype(np.int64)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], values[order]
