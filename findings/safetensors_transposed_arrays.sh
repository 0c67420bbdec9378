#!/usr/bin/env bash
# safetensors writes a transposed numpy array with its values in another order: shapes are right, numbers are not, and nothing is said.
# The function for torch refuses such tensors; the one for numpy takes the memory as it lies and the shape as it is seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: safetensors==0.8.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load_file, save_file

print("safetensors", version("safetensors"))
weights = np.random.default_rng(0).standard_normal((512, 64)).astype(np.float32)  # images by dimensions
views = {"whole": weights, "transposed": weights.T, "transposed_copy": np.ascontiguousarray(weights.T)}
save_file(views, "weights.safetensors")
loaded = load_file("weights.safetensors")
same = {}
for name, array in views.items():
    same[name] = bool(np.array_equal(loaded[name], array))
    print(f"{name}: shape {loaded[name].shape} of {array.shape}, values {'equal' if same[name] else 'DIFFER'}")
sys.exit(same != {"whole": True, "transposed": False, "transposed_copy": True})
PYTHON
