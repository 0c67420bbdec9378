#!/usr/bin/env bash
# Saving a Voyager index loses how widely it searches: recall@10 falls from 0.90 to 0.12 on loading it.
# The property ef is neither in the file nor an argument of load(), and begins at 10 again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: voyager==2.2.3 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from voyager import Index, Space

print("voyager", version("voyager"))
random = np.random.default_rng(0)
vectors, queries = (random.standard_normal((rows, 64)).astype(np.float32) for rows in (20_000, 200))
unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
right = np.argsort(-queries @ unit.T, axis=1)[:, :10]


def recall(index):
    rows, _ = index.query(queries, k=10, num_threads=1)
    return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, right)])


index = Index(Space.Cosine, num_dimensions=64, M=8, ef_construction=60, random_seed=1)
index.add_items(vectors, num_threads=1)
index.ef = 400
index.save("index.voy")
loaded = Index.load("index.voy")
before, after = recall(index), recall(loaded)
print(f"before saving: ef {index.ef}, recall@10 {before:.2f}; loaded again: ef {loaded.ef}, recall@10 {after:.2f}")
sys.exit(not (index.ef == 400 and loaded.ef == 10 and before > 0.8 and after < 0.4))
PYTHON
