#!/usr/bin/env bash
# torchmetrics' mean average precision at k averages over the relevant images that were found, not over those there are.
# With 10 right images, one found first and nine missed scores 1.0 at k = 5; finding another one at rank 5 lowers it to 0.7.
# Benchmarks of several targets a query (CIRCO) divide by min(k, right images): 0.2 and 0.28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check --only-binary :all: \
  torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import torch
from torchmetrics.retrieval import RetrievalMAP

print("torchmetrics", version("torchmetrics"))
ranks_of = {"one right image first, nine missed": [1], "another one at rank 5": [1, 5]}
observed = {}
for name, found in ranks_of.items():
    right = torch.zeros(100, dtype=torch.bool)
    right[[rank - 1 for rank in found]] = True
    right[60 : 70 - len(found)] = True  # ten in all
    metric = RetrievalMAP(top_k=5)
    metric.update(torch.linspace(1, 0, 100), right, indexes=torch.zeros(100, dtype=torch.long))
    by_benchmark = sum((number + 1) / rank for number, rank in enumerate(found)) / min(5, int(right.sum()))
    observed[name] = round(metric.compute().item(), 3)
    print(f"{name}: mAP@5 {observed[name]}, divided by min(5, 10) {by_benchmark:.2f}")
sys.exit(list(observed.values()) != [1.0, 0.7])
PYTHON
