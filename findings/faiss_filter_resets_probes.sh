#!/usr/bin/env bash
# A search of FAISS with a filter visits one cell of an IVF index and forgets the index's own nprobe: recall@10 falls from 1.00 to 0.26.
# The filter goes into SearchParametersIVF, whose nprobe is 1 unless it is given again; a filter that lets everything pass does it too.
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
random = np.random.default_rng(0)
vectors, queries = (random.standard_normal((rows, 16)).astype(np.float32) for rows in (20_000, 200))
right = np.argsort(((queries[:, None] - vectors) ** 2).sum(2), axis=1)[:, :10]
index = faiss.index_factory(16, "IVF100,Flat")
index.train(vectors)
index.add(vectors)
index.nprobe = 50
everything = faiss.IDSelectorRange(0, len(vectors))


def recall(parameters=None):
    _, rows = index.search(queries, 10, params=parameters)
    return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, right)])


plain = recall()
filtered = recall(faiss.SearchParametersIVF(sel=everything))
mended = recall(faiss.SearchParametersIVF(sel=everything, nprobe=index.nprobe))
print(f"recall@10 with nprobe {index.nprobe}: no filter {plain:.2f}, all rows allowed {filtered:.2f}, nprobe given again {mended:.2f}")
sys.exit(not (plain > 0.9 and filtered < 0.5 and mended == plain))
PYTHON
