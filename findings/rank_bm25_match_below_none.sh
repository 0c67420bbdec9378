#!/usr/bin/env bash
# Where one caption repeats, rank_bm25 scores captions with the asked word below one without it.
# Words of more than half of the captions get epsilon times the average idf, and that average is negative in a repetitive corpus.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: rank-bm25==0.2.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from rank_bm25 import BM25Okapi

print("rank-bm25", version("rank-bm25"))
captions = ["dress red", "dress red", "dress red", "dress", "shoe"]
index = BM25Okapi([caption.split() for caption in captions])
scores = index.get_scores(["dress"]).tolist()
for caption, score in zip(captions, scores):
    print(f"{caption!r}: {score:+.4f}")
print(f"query 'dress': best caption {captions[max(range(5), key=scores.__getitem__)]!r}; idf {index.idf}")
sys.exit(not (max(scores) == scores[4] == 0 and all(score < 0 for score in scores[:4])))
PYTHON
