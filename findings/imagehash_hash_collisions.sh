#!/usr/bin/env bash
# All perceptual hashes of 64 bits share 2,041 values of Python's hash(), so sets of them cost the square of their number.
# ImageHash.__hash__ adds up 2 ** (i % 8) over the bits that are set, which is 2,040 at most.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: imagehash==4.3.2 numpy==2.4.6 pillow==13.0.0 scipy==1.17.1 pywavelets==1.9.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import imagehash
import numpy as np
from PIL import Image

print("imagehash", version("imagehash"))
random = np.random.default_rng(0)
pictures = [Image.fromarray(random.integers(0, 256, (64, 64), dtype=np.uint8)) for _ in range(4000)]
hashes = [imagehash.phash(picture) for picture in pictures]
distinct, values = len({str(one) for one in hashes}), len({hash(one) for one in hashes})
comparisons = 0
equal = imagehash.ImageHash.__eq__


def counted(self, other):
    global comparisons
    comparisons += 1
    return equal(self, other)


imagehash.ImageHash.__eq__ = counted
counts = {}
for size in (1000, 2000, 4000):
    comparisons = 0
    set(hashes[:size])
    counts[size] = comparisons
print(f"{distinct} distinct perceptual hashes of 4,000 pictures have {values} values of hash()")
print(f"whole hashes compared while a set of so many of them is built: {counts}")
sys.exit(not (distinct == 4000 and values < 1000 and counts[4000] > 3 * counts[2000] > 9 * counts[1000]))
PYTHON
