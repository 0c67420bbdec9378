#!/usr/bin/env bash
# Making the first optimizer, plain SGD of three numbers, imports torch's compiler, though nothing is compiled: some 900 modules, 1.4 s
# of the processor (`import torch` takes 1.8) and 150 MB that stay. Neither `import torch` nor `import torch.optim` does it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check --only-binary :all: torch==2.14.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import resource
import sys
import time


def so_far():
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return time.process_time(), len(sys.modules), peak_mb


def spent(what, before):
    seconds, modules, megabytes = (now - then for now, then in zip(so_far(), before))
    print(f"{what}: {seconds:.2f} s of the processor, {modules} modules, {megabytes:.0f} MB")
    return modules


before = so_far()
import torch
import torch.optim

print("torch", torch.__version__)
spent("import torch, torch.optim", before)
imported_before = "torch._dynamo" in sys.modules

weights = torch.nn.Parameter(torch.zeros(3))
before = so_far()
optimizer = torch.optim.SGD([weights], lr=0.1)
modules = spent("the first optimizer", before)
imported = "torch._dynamo" in sys.modules
before = so_far()
torch.optim.SGD([weights], lr=0.1)
spent("the second", before)
sys.exit(not (imported and not imported_before and modules > 300))
PYTHON
