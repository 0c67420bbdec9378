#!/usr/bin/env bash
# torch.nn.functional.normalize makes NaN of a row of zeros in float16, and zeros in bfloat16 and float32.
# Its smallest divisor, 1e-12, is 0 in float16; one blank row then makes the loss of the whole batch NaN.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check --only-binary :all: torch==2.14.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import torch
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

print("torch", version("torch"))
observed = {}
for precision in (torch.float32, torch.bfloat16, torch.float16):
    rows = torch.eye(4, 8, dtype=precision)
    rows[2] = 0  # a text without a known word, a picture of one colour after a ReLU
    unit = normalize(rows)
    loss = cross_entropy((unit @ unit.T / 0.07).float(), torch.arange(4))
    similarity = cosine_similarity(rows[2:3], rows[:1])
    observed[precision] = (bool(unit.isnan().any()), bool(similarity.isnan().any()), bool(loss.isnan()))
    print(f"{precision}: unit row {unit[2, :3].tolist()}, cosine {similarity.item()}, loss of the batch {loss.item():.3f}")
wanted = {torch.float32: (False,) * 3, torch.bfloat16: (False,) * 3, torch.float16: (True,) * 3}
sys.exit(observed != wanted)
PYTHON
