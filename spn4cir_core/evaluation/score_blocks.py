"""Scores of queries against a gallery, block by block, from a fast product whose error is bounded.

The bound holds for every pair. With q, g the vectors and q', g' the same rounded to the product's precision,

    |⟨q, g⟩ − ⟨q', g'⟩| ≤ |q − q'| |g| + |q'| |g − g'|        (Cauchy-Schwarz)

and a sum of D products in float32, in whatever order, is off by at most γ |q'| |g'| with γ = D u / (1 − D u), u = 2⁻²⁴
(Higham, Accuracy and Stability of Numerical Algorithms, 3.1). So where a limit lies further from a score than that, the
exact score's side of the limit is known. The few pairs that lie nearer are scored one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from spn4cir_core.errors import InputError

Precision = Literal["float32", "bfloat16", "float64"]
"""What a product is computed in: bfloat16 where the processor has it, float64 on a GPU, else float32."""
ROUNDING: Mapping[Precision, float] = {"float32": 2.0**-22, "bfloat16": 2.0**-7, "float64": 2.0**-22}
"""More than the share of a score that rounding it takes away."""
PAIRS_AT_ONCE = 64
"""Pairs of vectors that stay in the processor's cache while they are multiplied."""
PRODUCTS_AT_ONCE = 1 << 20
SAFETY = 1.001
"""The bounds are themselves computed with rounding."""
LARGE = 8192
"""Images from which on the fastest product is worth the many pairs whose scores are then too close to tell."""
FEW = 32
"""Up to one in so many pairs of a query are scored singly; more are scored by one product of all."""


@dataclass(frozen=True)
class BlockSize:
    """How a product is cut into blocks, and what it is computed in; no result depends on it."""

    queries: int = 1024
    images: int = 4096
    precision: Precision | None = None
    """None: the fastest for so many images, here."""


class GalleryRows:
    """Some gallery rows of each query, sorted by query."""

    def __init__(self, rows: Sequence[Collection[int]]) -> None:
        self.queries = np.repeat(np.arange(len(rows)), np.array([len(one) for one in rows], np.int64))
        self.rows = np.array([row for one in rows for row in one], np.int64)


@dataclass(frozen=True)
class Block:
    """Scores of some queries against some consecutive gallery images."""

    queries: slice
    first: int
    """Gallery row of the first image."""
    scores_Qn: np.ndarray
    """Float32; −inf where left out. Overwritten by the next block."""
    error_Q: np.ndarray
    """What a score may be off by, before it was rounded to ``precision``."""
    pair_error_Q: np.ndarray
    """What a float32 score of a pair may be off by."""
    precision: Precision
    queries_QD: np.ndarray
    images: np.ndarray
    """The block's part of the gallery: (n, D), or (n, T, D)."""

    def leave_out(self, gone: GalleryRows) -> None:
        """Set the scores of some gallery rows to −inf."""
        low, high = np.searchsorted(gone.queries, [self.queries.start, self.queries.stop])
        queries, rows = gone.queries[low:high] - self.queries.start, gone.rows[low:high] - self.first
        inside = (rows >= 0) & (rows < len(self.images))
        self.scores_Qn[queries[inside], rows[inside]] = -np.inf

    def pairs(self, mask_Qn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of the queries and of the images in this block where ``chosen_Qn`` is true, sorted."""
        rows, columns = np.divmod(np.flatnonzero(mask_Qn), mask_Qn.shape[1])
        return rows, columns

    def above(self, limit_Q: np.ndarray) -> np.ndarray:
        """(Q, n): where the exact score is above the query's limit for certain.

        Rounding keeps the order: a score that is above the rounded limit was above the limit.
        """
        result: np.ndarray = self.scores_Qn > _rounded(limit_Q + self.error_Q, self.precision)[:, None]
        return result

    def perhaps_from(self, limit_Q: np.ndarray) -> np.ndarray:
        """(Q, n): where the exact score may reach the query's limit."""
        result: np.ndarray = self.scores_Qn >= _rounded(limit_Q - self.error_Q, self.precision)[:, None]
        return result

    def at_least(self, score_Q: np.ndarray) -> np.ndarray:
        """(Q,) what the exact score is at least where the block's score is this."""
        result: np.ndarray = score_Q - np.abs(score_Q) * ROUNDING[self.precision] - self.error_Q
        return result

    def pair_scores(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(P,) float32 scores of pairs, and what each may be off by: much less than in the fast product."""
        import faiss

        multiply: Any = vars(faiss)["pairwise_indexed_inner_product"]  # faiss defines its functions as it is imported
        tokens = 1 if self.images.ndim == 2 else self.images.shape[1]
        flat = self.images.reshape(-1, self.images.shape[-1])
        best = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), PRODUCTS_AT_ONCE // tokens):
            pairs = slice(start, start + PRODUCTS_AT_ONCE // tokens)
            query_rows = np.repeat(rows[pairs], tokens)
            token_rows = (columns[pairs, None] * tokens + np.arange(tokens)).ravel()
            scores = np.empty(len(query_rows), np.float32)
            pointers = [faiss.swig_ptr(array) for array in (self.queries_QD, query_rows, flat, token_rows, scores)]
            multiply(flat.shape[1], len(query_rows), *pointers)
            best[pairs] = scores.reshape(-1, tokens).max(axis=1)
        return best, self.pair_error_Q[rows]

    def exact(self, rows: np.ndarray, columns: np.ndarray, to_the_bit: bool = False) -> np.ndarray:
        """(P,) float64 scores of pairs that are sorted by query; ``to_the_bit`` those of :func:`exact_scores`."""
        if to_the_bit:
            return exact_scores(self.queries_QD, self.images, rows, columns)
        many_Q = np.bincount(rows, minlength=len(self.scores_Qn)) > len(self.images) // FEW
        scores, whole = np.empty(len(rows)), many_Q[rows]
        scores[~whole] = exact_scores(self.queries_QD, self.images, rows[~whole], columns[~whole])
        if many_Q.any():
            of_many = np.cumsum(many_Q)[rows[whole]] - 1
            scores[whole] = _all_scores(self.queries_QD[many_Q], self.images)[of_many, columns[whole]]
        return scores


def score_blocks(queries_QD: np.ndarray, gallery: np.ndarray, size: BlockSize) -> Iterator[Block]:
    """All blocks, those of the first images first. Fresh memory for each would cost a tenth of the product.

    Args:
        gallery: (N, D) or (N, T, D), an image then scores as the best of its T vectors; may be memory-mapped.

    Raises:
        InputError: a vector holds something that is no finite number.
    """
    precision = size.precision or fastest_precision(len(gallery))
    queries = _Factor(np.ascontiguousarray(queries_QD, np.float32), precision)
    memory = np.empty(min(size.queries, len(queries_QD)) * min(size.images, len(gallery)), np.float32)
    for first in range(0, len(gallery), size.images):
        images = _Factor(np.ascontiguousarray(gallery[first : first + size.images], np.float32), precision)
        error_Q, pair_error_Q = queries.error(images), queries.summing_error(images)
        for start in range(0, len(queries_QD), size.queries):
            span = slice(start, min(start + size.queries, len(queries_QD)))
            shape = (span.stop - span.start, len(images.vectors))
            scores = queries.times(images, span, memory[: shape[0] * shape[1]].reshape(shape))
            errors = error_Q[span], pair_error_Q[span]
            yield Block(span, first, scores, *errors, precision, queries.vectors[span], images.vectors)


def exact_scores(queries_QD: np.ndarray, gallery: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(P,) float64 scores of pairs of queries and images; equal vectors have equal ones, wherever they stand."""
    scores = np.empty(len(rows))
    for start in range(0, len(rows), PAIRS_AT_ONCE):
        pairs = slice(start, start + PAIRS_AT_ONCE)
        queries, images = _exactly(queries_QD[rows[pairs]]), _exactly(gallery[columns[pairs]])
        if gallery.ndim == 2:
            scores[pairs] = (queries * images).sum(axis=1)
        else:
            scores[pairs] = (queries[:, None] * images).sum(axis=2).max(axis=1)
    return scores


def _all_scores(queries_QD: np.ndarray, images: np.ndarray) -> np.ndarray:
    """(Q, n) float64 scores."""
    queries = _exactly(queries_QD)
    if images.ndim == 2:
        product: np.ndarray = queries @ _exactly(images).T
        return product
    scores: np.ndarray = np.max([queries @ _exactly(images[:, token]).T for token in range(images.shape[1])], axis=0)
    return scores


def _exactly(vectors: np.ndarray) -> np.ndarray:
    """What a block holds of them, in float64: products of two float32 numbers are exact there."""
    return vectors.astype(np.float32, copy=False).astype(np.float64)


@lru_cache
def _fastest_product() -> Precision:
    import torch

    if torch.cuda.is_available():
        return "float64"
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions lack it
    has_bfloat16 = capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)
    return "bfloat16" if has_bfloat16 else "float32"


def fastest_precision(images: int) -> Precision:
    """The dtype in which so many images are ranked soonest on this machine; the ranks do not depend on it."""
    fastest = _fastest_product()
    return "float32" if fastest == "bfloat16" and images < LARGE else fastest


class _Factor:
    """One side of a product: vectors, what they were rounded to, and how much that took away."""

    def __init__(self, vectors: np.ndarray, precision: Precision) -> None:
        self.vectors, self.precision = vectors, precision
        self.values, rounded = _converted(vectors, precision)
        self.lost = _lengths(vectors - rounded) if rounded is not vectors else np.zeros(vectors.shape[:-1])
        self.length = _lengths(vectors) + self.lost
        if not np.isfinite(self.length).all():
            raise InputError(
                "the model's vectors hold something that is no finite number, so nothing can be ranked by it; train it "
                "again with a lower learning rate or in a wider precision"
            )

    def error(self, images: _Factor) -> np.ndarray:
        """(Q,) error bound of the scores; see the module docstring."""
        rounding: np.ndarray = self.lost * images.length.max() + self.length * images.lost.max()
        error: np.ndarray = SAFETY * rounding + self.summing_error(images)
        return error

    def summing_error(self, images: _Factor) -> np.ndarray:
        """(Q,) error bound of a float32 sum of products."""
        off = self.vectors.shape[-1] * 2.0**-24
        error: np.ndarray = self.length * images.length.max() * off / (1 - off)
        return SAFETY * error

    def times(self, images: _Factor, span: slice, out_Qn: np.ndarray) -> np.ndarray:
        """(Q, n) scores in ``out_Qn``, of several vectors of an image the highest."""
        queries = self.values[span]
        if images.vectors.ndim == 2:
            return _product(queries, images.values, out_Qn)
        scores = _product(queries, images.values[:, 0], out_Qn)
        memory = np.empty_like(out_Qn)
        for token in range(1, images.vectors.shape[1]):
            np.maximum(scores, _product(queries, images.values[:, token], memory), out=scores)
        return scores


def _lengths(vectors: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.sqrt(np.einsum("...d,...d->...", vectors, vectors))
    return lengths.astype(np.float64)


def _converted(vectors: np.ndarray, precision: Precision) -> tuple[Any, np.ndarray]:
    if precision == "float32":
        return vectors, vectors
    import torch

    values = torch.tensor(vectors).to(getattr(torch, precision))
    if precision == "float64":
        return values.to("cuda" if torch.cuda.is_available() else "cpu"), vectors
    return values, values.float().numpy()


def _product(queries: Any, images: Any, out_Qn: np.ndarray) -> np.ndarray:
    if isinstance(queries, np.ndarray):
        np.matmul(queries, images.T, out=out_Qn)
        return out_Qn
    import torch

    torch.from_numpy(out_Qn).copy_(queries @ images.T)
    return out_Qn


def _rounded(limit_Q: np.ndarray, precision: Precision) -> np.ndarray:
    """Float32 limits, rounded as the scores were."""
    if precision != "bfloat16":
        return limit_Q.astype(np.float32)
    import torch

    limits: np.ndarray = torch.from_numpy(limit_Q.astype(np.float32)).bfloat16().float().numpy()
    return limits
