#!/usr/bin/env bash
# ftfy decodes HTML entities only in texts without "<", so one caption in a list stays encoded.
# unescape_html is "auto": a caption with a heart or a comparison ("<3", "size < 40") keeps "&amp;" and "&#39;".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: ftfy==6.3.1 wcwidth==0.9.4
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import ftfy

print("ftfy", version("ftfy"))
captions = ["it&#39;s black &amp; white", "it&#39;s black &amp; white, size < 40"]
fixed = [ftfy.fix_text(caption) for caption in captions]
for caption, text in zip(captions, fixed):
    print(f"{caption!r} -> {text!r}")
always = ftfy.fix_text(captions[1], unescape_html=True)
print(f"with unescape_html=True: {always!r}")
wanted = ["it's black & white", captions[1]]
sys.exit(not (fixed == wanted and always == "it's black & white, size < 40"))
PYTHON
