#!/usr/bin/env bash
# With CLIP's own vocabulary, open_clip and transformers cut one title into different tokens: Levi’s, Black &amp; White, ﬁt.
# open_clip mends texts before it cuts them (typographic apostrophes, HTML entities, ligatures); CLIPTokenizer of transformers 5 does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check --only-binary :all: \
  open_clip_torch==3.3.0 transformers==5.24.0 torch==2.14.1
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import gzip
import json
import sys
from importlib.metadata import version
from pathlib import Path

from open_clip.tokenizer import SimpleTokenizer, default_bpe
from transformers import CLIPTokenizer

print("open_clip_torch", version("open_clip_torch"), "transformers", version("transformers"))
ours = SimpleTokenizer()
pairs = gzip.open(default_bpe()).read().decode().split("\n")[1 : 49152 - 256 - 2 + 1]
Path("merges.txt").write_text("#version: 0.2\n" + "\n".join(pairs))
ordinary = {token: number for token, number in ours.encoder.items() if number < 49406}
Path("vocab.json").write_text(json.dumps(ordinary | {"<|startoftext|>": 49406, "<|endoftext|>": 49407}))
theirs = CLIPTokenizer("vocab.json", "merges.txt")

equal = {}
for title in ("a red shirt, 100% cotton", "naïve café", "Levi's jeans", "Levi’s jeans", "Black &amp; White", "slim ﬁt", "ＡＢＣ"):
    one = ours.encode(title)
    two = theirs(title)["input_ids"][1:-1]
    equal[title] = one == two
    print(f"{title!r}: open_clip {[ours.decoder[number] for number in one]}, transformers {theirs.convert_ids_to_tokens(two)}")
sys.exit(list(equal.values()) != [True, True, True, False, False, False, False])
PYTHON
