#!/usr/bin/env bash
# webdataset cuts a name at its first dot, so two pictures of version 1.5 become one sample without a word.
# The key is what stands before the first dot; "dress_v1.5_front.jpg" and "dress_v1.5_back.jpg" are fields of the sample "dress_v1".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: webdataset==1.0.2 numpy==2.4.6 braceexpand==0.1.7 pyyaml==6.0.4
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
import tarfile
from importlib.metadata import version

import webdataset

print("webdataset", version("webdataset"))
names = ["dress_v1.5_back.jpg", "dress_v1.5_back.txt", "dress_v1.5_front.jpg", "dress_v1.5_front.txt"]
with tarfile.open("shard.tar", "w") as shard:
    for name in names:
        member = tarfile.TarInfo(name)
        member.size = len(name)
        shard.addfile(member, io.BytesIO(name.encode()))
samples = list(webdataset.WebDataset("shard.tar", shardshuffle=False))
for sample in samples:
    print(sample["__key__"], sorted(key for key in sample if not key.startswith("__")))
print(f"{len(samples)} sample of 2 pictures with their captions; none has a field 'jpg'")
sys.exit(not (len(samples) == 1 and samples[0]["__key__"] == "dress_v1" and "jpg" not in samples[0]))
PYTHON
