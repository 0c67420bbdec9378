from __future__ import annotations

from typing import Any

import pytest
import torch

from spn4cir_core.training.optimisers import Precision, Temperature, adamw
from spn4cir_core.training.settings import Schedule

CPU = torch.device("cpu")


def overflow(precision: Precision) -> torch.Tensor:
    """A step whose gradient is no finite number; the weight after it."""
    weight = torch.nn.Parameter(torch.ones(2, 2))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    precision.scaler.scale((weight * torch.inf).sum()).backward()
    precision.scaler.unscale_(optimiser)
    precision.scaler.step(optimiser)
    precision.scaler.update()
    return weight.detach()


def test_an_overflow_of_float16_leaves_the_step_out_until_the_scale_is_at_its_end() -> None:
    precision = Precision("float16", CPU)
    for _ in range(10):
        assert precision.may_overflow and torch.equal(overflow(precision), torch.ones(2, 2))
    resumed = Precision("float16", CPU)
    resumed.restore(precision.state())
    assert resumed.scaler.get_scale() == precision.scaler.get_scale() == 2.0**6
    for _ in range(30):
        overflow(resumed)
    assert not resumed.may_overflow


def test_other_precisions_have_no_state_and_forgive_nothing() -> None:
    for name in ("float32", "bfloat16"):
        precision = Precision(name, CPU)
        assert precision.state() == {} and not precision.may_overflow
        precision.restore({})
        with precision.encoders():
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert str(product.dtype) == f"torch.{name}"


def test_only_matrices_decay_and_the_temperature_is_trained_where_it_is_learned() -> None:
    parameters = [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))]
    temperature = torch.tensor(0.0, requires_grad=True)
    for learn in (False, True):
        groups = adamw(parameters, temperature, Schedule(weight_decay=0.3, learn_temperature=learn)).param_groups
        decays = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
        assert decays[id(parameters[0])] == 0.3 and decays[id(parameters[1])] == 0.0
        assert (id(temperature) in decays) is learn


def test_every_tensor_decays_and_the_optimiser_is_the_published_one_where_settings_say_so() -> None:
    parameters = [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))]
    schedule = Schedule(
        weight_decay=0.05, decayed="all", adam_betas=(0.9, 0.98), adam_epsilon=1e-7, learn_temperature=True
    )
    temperature = Temperature(0.05, schedule, CPU)
    optimiser = adamw(parameters, temperature.tensor, schedule)
    assert {group["weight_decay"] for group in optimiser.param_groups} == {0.05}
    assert {(group["betas"], group["eps"]) for group in optimiser.param_groups} == {((0.9, 0.98), 1e-7)}
    with pytest.raises(ValueError, match="below 1"):
        Schedule(adam_betas=(0.9, 1.0))


@pytest.mark.parametrize(("learnt", "moved"), [("value", 1.0), ("logarithm", 0.03)])
def test_the_temperature_itself_moves_by_the_rate_its_logarithm_by_as_much_of_it(learnt: Any, moved: float) -> None:
    schedule = Schedule(learning_rate=5e-6, weight_decay=0.0, learn_temperature=True, learnt_temperature=learnt)
    temperature = Temperature(0.03, schedule, CPU)
    optimiser = adamw([torch.nn.Parameter(torch.ones(1, 1))], temperature.tensor, schedule)
    for _ in range(100):
        optimiser.zero_grad()
        temperature.of_step().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert 0.03 - temperature.value == pytest.approx(100 * 5e-6 * moved, rel=0.02)
    assert Temperature(0.03, Schedule(), CPU).tensor.requires_grad is False
