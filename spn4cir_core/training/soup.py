"""Soups: one network whose weights are the mean of several trainings', chosen greedily by validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    State = Mapping[str, Tensor]
    """A network's tensors by name."""


@dataclass(frozen=True)
class Ingredient:
    """One training of a soup.

    Attributes:
        alone: its validation score.
        added: the score of the mean of all ingredients so far and this one; of the first its own.
        is_in: whether it stays in the soup.
    """

    name: str
    alone: float
    added: float
    is_in: bool


def greedy_soup(states: Mapping[str, State], score: Callable[[State], float]) -> tuple[State, list[Ingredient]]:
    """The mean of the weights that do not lower the validation score (Wortsman et al. 2022, "Model soups", recipe 1).

    Trainings are taken in the order of their own scores, the best first; each stays if the mean with it scores at least
    as high as without. So a soup is never worse on validation than its best training.

    Helps where trainings start from the same weights (a pretrained tower, one stage 1, the same random ones) and differ
    by seed or settings. Hurts nothing on validation; where they start from different random weights mostly the best one
    alone stays.

    Args:
        states: by name, of equal shapes.
        score: higher is better; of validation queries, never of reported ones.

    Raises:
        ValueError: no states.
    """
    if not states:
        raise ValueError("a soup needs at least one training")
    alone = {name: score(state) for name, state in states.items()}
    first, *others = sorted(states, key=lambda name: -alone[name])
    soup, best, names = states[first], alone[first], [first]
    ingredients = [Ingredient(first, best, best, True)]
    for name in others:
        tried = mean_of([*(states[taken] for taken in names), states[name]])
        added = score(tried)
        ingredients.append(Ingredient(name, alone[name], added, added >= best))
        if added >= best:
            soup, best, names = tried, added, [*names, name]
    return soup, ingredients


def mean_of(states: Sequence[State]) -> State:
    """The mean of each tensor, computed in float64; of one that is no float (a counter) the first state's."""
    import torch

    def mean(tensors: Sequence[Tensor]) -> Tensor:
        if not tensors[0].is_floating_point():
            return tensors[0]
        return torch.stack([tensor.double() for tensor in tensors]).mean(0).to(tensors[0].dtype)

    return {name: mean([state[name] for state in states]) for name in states[0]}
