"""Pair mining against its baselines, side by side in one run (targets P1, P2 and P3). Prints a Markdown table.

    python benchmarks/mine_pairs.py --rows 25000 46000 --large-rows 1000000

The published system is re-created as described: dense similarities, full argsort, slice of each ranking.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import spn4cir_core  # noqa: F401  (sets OpenMP's waiting policy before torch is imported)
from spn4cir_core.index.neighbour_index import NeighbourIndex
from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.draws import id_keys
from spn4cir_core.pairs.exact import mine_exact
from spn4cir_core.pairs.landmarks import exact_ranks, landmarks_needed, mine_landmarks
from spn4cir_core.pairs.neighbours import mine_neighbours
from spn4cir_core.pairs.picks import Picks, Vectors
from spn4cir_core.pairs.rank_window import RankWindow, window_in_ranks


def clustered(rows: int, dimensions: int, path: Path, dtype: str) -> np.ndarray:
    """Write unit vectors in random clusters to a file and map it."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, dimensions)).astype(np.float32)
    out = np.lib.format.open_memmap(path, "w+", dtype, (rows, dimensions))
    for start in range(0, rows, 50_000):
        size = min(50_000, rows - start)
        block = centres[rng.integers(0, 200, size)] + 1.5 * rng.standard_normal((size, dimensions), np.float32)
        out[start : start + size] = block / np.linalg.norm(block, axis=1, keepdims=True)
    out.flush()
    del out
    return np.load(path, mmap_mode="r", allow_pickle=False)


class PeakMemory:
    """Peak of the process's own (not file-backed) memory inside the block, above its start, in MB."""

    def __enter__(self) -> PeakMemory:
        self._start = self._now()
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.peak_mb = max(self.peak_mb, self._now() - self._start)

    def _now(self) -> float:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024
        return 0.0


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """Median seconds, peak MB, and the last result."""
    seconds, peaks = [], []
    for _ in range(repeats):
        with PeakMemory() as memory:
            started = time.perf_counter()
            result = work()
            seconds.append(time.perf_counter() - started)
        peaks.append(memory.peak_mb)
    return statistics.median(seconds), max(peaks), result


def dense_argsort(vectors: np.ndarray, window: RankWindow) -> list[int]:
    """The published way; rows in blocks only because N×N indices do not fit into this memory."""
    import torch

    tensor, picks = torch.from_numpy(np.array(vectors, np.float32)), []
    rng = np.random.default_rng(0)
    for start in range(0, len(vectors), 1000):
        ranking = torch.argsort(tensor[start : start + 1000] @ tensor.T, dim=1, descending=True)
        for row in ranking[:, window.first + 1 : window.end + 1]:
            picks.append(int(row[rng.integers(len(row))]))
    return picks


def bare_product(vectors: np.ndarray) -> None:
    matrix = np.asarray(vectors, np.float32)
    out = np.empty((min(len(matrix), 64 * 2**20 // (4 * len(matrix)) + 1), len(matrix)), np.float32)
    for start in range(0, len(matrix), len(out)):
        part = matrix[start : start + len(out)]
        np.matmul(part, matrix.T, out=out[: len(part)])


def bare_faiss(vectors: np.ndarray, k: int) -> None:
    import faiss

    matrix = np.asarray(vectors, np.float32)
    index = faiss.IndexFlatIP(matrix.shape[1])
    index.add(matrix)
    for start in range(0, len(matrix), 4096):
        index.search(matrix[start : start + 4096], k)


def line(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def free(rows: int) -> Allowed:
    return Allowed(2.0, np.full(rows, -1), np.zeros(0, np.int64), np.zeros(rows, np.int64))


def inside(vectors: np.ndarray, window: RankWindow, picks: Picks, sample: int = 1000) -> float:
    """Share of a sample of picks that lie in the exact window."""
    sampled = np.random.default_rng(1).choice(len(picks.reference), min(sample, len(picks.reference)), replace=False)
    ranks = exact_ranks(Vectors(vectors), picks.reference[sampled], picks.target[sampled])
    return float(np.mean((ranks >= window.first) & (ranks < window.end)))


def wide_windows(rows: int, dimensions: int, repeats: int, folder: Path) -> None:
    """P1: dense + argsort, bare product, exact mode, landmark mode."""
    vectors = clustered(rows, dimensions, folder / f"{rows}.npy", "float32")
    window = window_in_ranks((0.4, 0.8), rows)
    assert window is not None
    keys, all_rows = id_keys([str(row) for row in range(rows)], 0), np.arange(rows)
    landmarks = max(1024, landmarks_needed(window))
    size = f"{rows:,} × {dimensions}"
    fast, fast_mb, picks = timed(
        lambda: mine_landmarks(Vectors(vectors), window, all_rows, keys, 1, free(rows), landmarks, 0), repeats
    )
    product, product_mb, _ = timed(lambda: bare_product(vectors), repeats)
    exact, exact_mb, _ = timed(lambda: mine_exact(Vectors(vectors), window, all_rows, keys, 1, free(rows)), repeats)
    dense, dense_mb, _ = timed(lambda: dense_argsort(vectors, window), 1)
    line(size, "dense + full argsort", f"{dense:.1f}", "1", f"{dense_mb:.0f}", "")
    line(size, "bare N×N product", f"{product:.1f}", f"{dense / product:.1f}× faster", f"{product_mb:.0f}", "")
    line(size, "exact mode", f"{exact:.1f}", f"{exact / product:.2f}× the product", f"{exact_mb:.0f}", "100 %")
    share = f"{100 * inside(vectors, window, picks):.1f} %"
    line(size, f"{landmarks:,} landmarks", f"{fast:.2f}", f"**{dense / fast:.1f}× faster**", f"{fast_mb:.0f}", share)


def near_windows(rows: int, dimensions: int, repeats: int, folder: Path) -> None:
    """P3: bare FAISS, our index, the whole mining of ranks 1 to 20."""
    vectors = clustered(rows, dimensions, folder / f"near_{rows}.npy", "float32")
    window, k = RankWindow(1, 20, rows - 1), 36
    keys, all_rows = id_keys([str(row) for row in range(rows)], 0), np.arange(rows)

    def ours() -> None:
        index = NeighbourIndex(vectors)
        for start in range(0, rows, 4096):
            index.search(vectors[start : start + 4096], k)

    size = f"{rows:,} × {dimensions}"
    bare, bare_mb, _ = timed(lambda: bare_faiss(vectors, k), repeats)
    ours_seconds, ours_mb, _ = timed(ours, repeats)
    mined, mined_mb, _ = timed(
        lambda: mine_neighbours(Vectors(vectors), window, all_rows, keys, 1, free(rows)), repeats
    )
    line(size, f"bare FAISS, k = {k}", f"{bare:.1f}", "1", f"{bare_mb:.0f}", "")
    line(
        size,
        "nearest neighbours",
        f"{ours_seconds:.1f}",
        f"{ours_seconds / bare:.2f}× bare FAISS",
        f"{ours_mb:.0f}",
        "100 %",
    )
    line(size, "pairs, ranks 1–20", f"{mined:.1f}", f"{mined / bare:.2f}× bare FAISS", f"{mined_mb:.0f}", "100 %")


def large_corpus(rows: int, dimensions: int, folder: Path) -> None:
    """P2: landmark mode on memory-mapped float16, and on a quarter of it: time must grow linearly."""
    vectors = clustered(rows, dimensions, folder / "large.npy", "float16")
    for part in (rows // 4, rows):
        window = window_in_ranks((0.4, 0.8), part)
        assert window is not None
        keys = id_keys([str(row) for row in range(part)], 0)
        seconds, peak_mb, picks = timed(
            lambda part=part, window=window, keys=keys: mine_landmarks(
                Vectors(vectors[:part]), window, np.arange(part), keys, 1, free(part), 2048, 0
            ),
            1,
        )
        share = f"{100 * inside(vectors[:part], window, picks, 200):.1f} %"
        per_image = f"{1e6 * seconds / part:.0f} µs an image"
        line(f"{part:,} × {dimensions} fp16", "2,048 landmarks", f"{seconds:.1f}", per_image, f"{peak_mb:.0f}", share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[25_000], help="corpus sizes of P1")
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--near-rows", type=int, default=20_000, help="corpus size of P3; 0 leaves it out")
    parser.add_argument("--large-rows", type=int, default=0, help="corpus size of P2, e.g. 1000000")
    parser.add_argument("--large-dimensions", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    line("corpus", "what", "seconds", "ratio", "extra memory (MB)", "picks in the exact window")
    line(*["---"] * 6)
    with tempfile.TemporaryDirectory() as name:
        for rows in given.rows:
            wide_windows(rows, given.dimensions, given.repeats, Path(name))
        if given.near_rows:
            near_windows(given.near_rows, given.dimensions, given.repeats, Path(name))
        if given.large_rows:
            large_corpus(given.large_rows, given.large_dimensions, Path(name))


if __name__ == "__main__":
    main()
