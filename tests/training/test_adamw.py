"""Our AdamW: the numbers of torch's, without importing its compiler, and exact under kill and resume."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from spn4cir_core.training.adamw import AdamW


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((5, 3), (3,), (2, 2))]


def step(optimiser: AdamW | torch.optim.Optimizer, weights: list[torch.nn.Parameter], number: int) -> None:
    optimiser.zero_grad()
    loss = sum(((weight * (number + 1)).cos().sum() for weight in weights[:2]), torch.zeros(()))
    if number % 2:  # every second step leaves the last parameter out
        loss = loss + (weights[2] ** 2).sum()
    loss.backward()
    optimiser.param_groups[0]["lr"] = 0.1 / (number + 1)
    optimiser.step()


def test_its_steps_are_those_of_torch() -> None:
    ours, theirs = parameters(), parameters()
    groups = [
        [{"params": [a, b], "weight_decay": 0.2}, {"params": [c], "weight_decay": 0.0}] for a, b, c in (ours, theirs)
    ]
    own = AdamW(groups[0], lr=0.1, betas=(0.8, 0.98), eps=1e-6)
    of_torch = torch.optim.AdamW(groups[1], lr=0.1, betas=(0.8, 0.98), eps=1e-6)
    for number in range(6):
        step(own, ours, number)
        step(of_torch, theirs, number)
    for one, other in zip(ours, theirs, strict=True):
        assert one.detach().numpy() == pytest.approx(other.detach().numpy(), rel=1e-5, abs=1e-7)


def test_a_restored_state_goes_on_exactly() -> None:
    unbroken, resumed = parameters(), parameters()
    first = AdamW([{"params": unbroken, "weight_decay": 0.1}], lr=0.1, betas=(0.9, 0.999), eps=1e-8)
    for number in range(3):
        step(first, unbroken, number)
    with torch.no_grad():
        for one, other in zip(resumed, unbroken, strict=True):
            one.copy_(other)
    second = AdamW([{"params": resumed, "weight_decay": 0.1}], lr=0.1, betas=(0.9, 0.999), eps=1e-8)
    second.restore({name: tensor.clone() for name, tensor in first.state().items()})
    for number in range(3, 6):
        step(first, unbroken, number)
        step(second, resumed, number)
    assert all(torch.equal(one, other) for one, other in zip(unbroken, resumed, strict=True))


def test_torchs_compiler_is_not_imported() -> None:
    steps = (
        "import sys, torch; from spn4cir_core.training.adamw import AdamW\n"
        "weight = torch.nn.Parameter(torch.ones(2)); weight.sum().backward()\n"
        "AdamW([{'params': [weight], 'weight_decay': 0.0}], lr=0.1, betas=(0.9, 0.99), eps=1e-8).step()\n"
        "assert weight[0] < 1\nsys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", steps], check=False).returncode == 0
