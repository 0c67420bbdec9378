#!/usr/bin/env bash
# With equal scores pytrec_eval ranks by document id, last in the alphabet first, so recall depends on file names.
# The order in the run does not count. A model that gives every image one score has recall@1 of 1 or 0 by how targets are named.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: pytrec-eval-terrier==0.5.11 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import pytrec_eval

print("pytrec-eval-terrier", version("pytrec-eval-terrier"))
recall = {}
for target in ("a.jpg", "z.jpg"):
    evaluator = pytrec_eval.RelevanceEvaluator({"query": {target: 1}}, {"recall.1"})
    for names in ([target, "m.jpg"], ["m.jpg", target]):
        run = {"query": dict.fromkeys(names, 0.5)}
        recall[target, names[0]] = evaluator.evaluate(run)["query"]["recall_1"]
        print(f"target {target}, run lists {names}, all scores 0.5: recall@1 = {recall[target, names[0]]}")
wanted = {("a.jpg", "a.jpg"): 0.0, ("a.jpg", "m.jpg"): 0.0, ("z.jpg", "z.jpg"): 1.0, ("z.jpg", "m.jpg"): 1.0}
sys.exit(recall != wanted)
PYTHON
