from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from spn4cir_core.training.settings import Schedule
from spn4cir_core.training.weight_averages import AveragedWeights, LastCheckpoints, Moving, NoAverage, WeightAverage


def walk(average: WeightAverage, values: list[float]) -> tuple[AveragedWeights, nn.Parameter]:
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    tracked = average.track([parameter], len(values))
    assert tracked is not None
    for step, value in enumerate(values, start=1):
        parameter.data.fill_(value)
        tracked.after(step)
    return tracked, parameter


@pytest.mark.parametrize(("steps", "taken"), [(23, [13, 18, 23]), (6, [1, 6]), (4, [4])])
def test_the_last_checkpoints_count_alike(steps: int, taken: list[int]) -> None:
    values = np.random.default_rng(0).standard_normal(steps).tolist()
    tracked, parameter = walk(LastCheckpoints(checkpoints=3, every_steps=5), values)
    tracked.apply()
    assert parameter.item() == pytest.approx(np.mean([values[step - 1] for step in taken]))


def test_the_moving_average_decays_as_it_says() -> None:
    values = np.random.default_rng(0).standard_normal(40).tolist()
    tracked, parameter = walk(Moving(decay=0.7), values)
    expected = values[0]
    for step, value in enumerate(values[1:], start=2):
        decay = min(0.7, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with tracked.applied():
        assert parameter.item() == pytest.approx(expected)
    assert parameter.item() == values[-1]


def test_an_average_goes_on_from_its_state() -> None:
    whole, _ = walk(Moving(decay=0.9), [1.0, 2.0, 3.0])
    first, parameter = walk(Moving(decay=0.9), [1.0, 2.0])
    resumed = AveragedWeights(Moving(decay=0.9), [parameter], 3)
    resumed.restore(first.state())
    parameter.data.fill_(3.0)
    resumed.after(3)
    assert torch.equal(resumed.state()["0"], whole.state()["0"])


def test_without_an_average_nothing_is_tracked() -> None:
    assert NoAverage().track([nn.Parameter(torch.zeros(1))], 3) is None


def test_an_average_of_the_end_needs_a_known_end() -> None:
    with pytest.raises(ValidationError, match='"last" is the mean at the end'):
        Schedule.model_validate({"weight_average": "last", "validation": {"every_steps": 5, "patience": 1}})
