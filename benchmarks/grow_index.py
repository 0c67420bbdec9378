"""What it costs to bring a search index's vectors up to date: all of them, one per cent more, none, some gone.

python -m benchmarks.grow_index --images 100000 --dim 512
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence

import numpy as np

from spn4cir_core.index.vector_shards import EarlierShards, ShardWriter, VectorSource
from spn4cir_core.store.artifacts import Store


def write(
    store: Store, name: str, rows: Sequence[int], vectors_ND: np.ndarray, earlier: EarlierShards
) -> EarlierShards:
    """Write the vectors of these images beside the index before, and print what that took."""
    keys = [f"image {row}" for row in rows]
    source = VectorSource("stage2", "encoder", keys, lambda rows_K: vectors_ND[np.asarray(rows)[rows_K]])
    started, processor = time.perf_counter(), time.process_time()
    with store.writing("grown", name.replace(" ", "_").replace(".", "_"), {}) as draft:
        writer = ShardWriter(draft, earlier)
        writer.write(source)
    artifact = store.get("grown", name.replace(" ", "_").replace(".", "_"))
    assert artifact is not None
    files = [path.stat() for path in (artifact.path / "vectors").iterdir()]
    written = sum(file.st_size for file in files if file.st_nlink == 1) / 1e6
    seconds = f"{time.perf_counter() - started:.2f} | {time.process_time() - processor:.2f}"
    print(f"| {name} | {len(rows):,} | {written:.1f} | {sum(file.st_size for file in files) / 1e6:.1f} | {seconds} |")
    return EarlierShards(artifact, writer.lists)


def main() -> None:
    """Print a table of the four cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    given = parser.parse_args()
    count, more = given.images, given.images // 100
    vectors_ND = np.random.default_rng(0).standard_normal((count + more, given.dim)).astype(np.float32)
    print("| what | images | MB written | MB of the index | wall s | processor s |\n|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        store, earlier = Store(folder), EarlierShards()
        for name, rows in (
            ("from nothing", range(count)),
            ("1 % more", range(count + more)),
            ("nothing new", range(count + more)),
            ("0.5 % gone", range(count // 200, count + more)),
        ):
            earlier = write(store, name.replace("%", "per cent"), rows, vectors_ND, earlier)


if __name__ == "__main__":
    main()
