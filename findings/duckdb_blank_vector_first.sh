#!/usr/bin/env bash
# Ordered by cosine similarity, DuckDB puts a vector of zeros before an exact copy of the query, whatever is searched for.
# The similarity with zeros is NaN, and NaN is the greatest of numbers there; ordered by cosine distance the same row comes last.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: duckdb==2.0.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import duckdb
import numpy as np

print("duckdb", version("duckdb"))
vectors = np.random.default_rng(0).standard_normal((1000, 8)).astype(np.float32)
vectors[333] = 0  # a picture that could not be embedded
table = duckdb.connect()
table.execute("CREATE TABLE images (row INTEGER, vector FLOAT[8])")
table.executemany("INSERT INTO images VALUES (?, ?)", [(row, vector.tolist()) for row, vector in enumerate(vectors)])


def first(order, query):
    statement = f"SELECT row FROM images ORDER BY {order} LIMIT 3"
    return [row for (row,) in table.execute(statement, [query.tolist()]).fetchall()]


results = []
for asked in (7, 500):
    similar = first("array_cosine_similarity(vector, ?::FLOAT[8]) DESC", vectors[asked])
    near = first("array_cosine_distance(vector, ?::FLOAT[8])", vectors[asked])
    print(f"query = row {asked}: by similarity {similar}, by distance {near}")
    results.append(similar[:2] == [333, asked] and near[0] == asked and 333 not in near)
sys.exit(not all(results))
PYTHON
