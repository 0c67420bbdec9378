#!/usr/bin/env bash
# Where pictures have equal vectors, the first hit of a flat FAISS index depends on how many hits are asked for: row k-1 leads.
# So recall@1 read from ten results is not recall@1 read from one, and page two does not continue page one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: faiss-cpu==1.15.1 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import faiss
import numpy as np

print("faiss-cpu", version("faiss-cpu"))
vectors = np.random.default_rng(0).standard_normal((1000, 16)).astype(np.float32)
faiss.normalize_L2(vectors)
vectors[:50] = vectors[0]  # one product photographed once and listed under fifty sizes
index = faiss.IndexFlatIP(16)
index.add(vectors)
query = vectors[:1]
print("rows 0 to 49 are equal; the query is one of them")
leading = {}
for k in (1, 5, 10, 50):
    similarities, rows = index.search(query, k)
    leading[k] = int(rows[0, 0])
    print(f"k={k}: rows {rows[0, :5].tolist()}, all of one similarity: {len(set(similarities[0].tolist())) == 1}")
sys.exit(leading != {1: 0, 5: 4, 10: 9, 50: 49})
PYTHON
