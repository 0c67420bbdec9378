#!/usr/bin/env bash
# A LoRA adapter of a network with batch norm does not come back as it was trained: outputs change on loading it.
# Training moves the running means of the frozen base; peft says only the adapter is trained, and saves nothing else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check --only-binary :all: \
  peft==0.21.2 torch==2.14.1 numpy==2.4.6
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import copy
import sys
from importlib.metadata import version

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

print("peft", version("peft"), "torch", version("torch"))


def difference_after_loading(norm):
    torch.manual_seed(0)
    base = nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    untouched = copy.deepcopy(base)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["4"]))
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert all("lora_" in name for name in trained), trained
    optimizer = torch.optim.SGD((weight for weight in model.parameters() if weight.requires_grad), lr=0.1)
    model.train()
    for _ in range(50):
        loss = model(torch.rand(16, 3, 8, 8) + 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    model.save_pretrained("adapter")
    loaded = PeftModel.from_pretrained(untouched, "adapter").eval()
    pictures = torch.rand(32, 3, 8, 8) + 1
    with torch.no_grad():
        return float((model(pictures) - loaded(pictures)).abs().max())


batch, layer = difference_after_loading(nn.BatchNorm2d(8)), difference_after_loading(nn.GroupNorm(1, 8))
print(f"greatest difference of outputs after loading: batch norm {batch:.3f}, layer norm {layer:.1e}")
sys.exit(not (batch > 0.05 and layer < 1e-6))
PYTHON
