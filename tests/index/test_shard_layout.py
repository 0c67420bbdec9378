"""Which shards stay, against the rules said in words."""

from __future__ import annotations

import numpy as np

from spn4cir_core.index.shard_layout import key_bytes, layout_of


def test_layout_against_a_slow_reckoning() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        earlier = [
            key_bytes([str(one) for one in random.choice(60, random.integers(1, 30), replace=False)])
            for _ in range(random.integers(0, 4))
        ]
        keys = [str(one) for one in random.choice(60, random.integers(1, 40), replace=False)]
        key_N = key_bytes(keys)
        layout = layout_of(key_N, earlier)
        written = sorted({*layout.moved_K.tolist(), *layout.new_K.tolist()})
        assert layout.row_N[written].tolist() == list(range(len(written)))
        assert set(layout.new_K) == {n for n in range(len(keys)) if not any(key_N[n] in shard for shard in earlier)}
        for image, (shard, row) in enumerate(zip(layout.shard_N, layout.row_N, strict=True)):
            if image in written:
                assert shard == len(layout.shared)
            else:
                assert earlier[layout.shared[shard]][row] == key_N[image]
        live = np.bincount(layout.shard_N, minlength=len(layout.shared) + 1)
        for number, shard in enumerate(layout.shared):
            assert 2 * live[number] >= len(earlier[shard]) and live[number] > len(written)
