from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from spn4cir_core.evaluation.significance import randomisation_p


def every_sign(differences: list[float], groups: list[str]) -> float:
    """The exact p: give each group every sign, count how often the sum is as far from 0."""
    names = sorted(set(groups))
    sums = [sum(value for value, group in zip(differences, groups, strict=True) if group == name) for name in names]
    extreme = [
        abs(sum(sign * value for sign, value in zip(signs, sums, strict=True))) >= abs(sum(sums)) - 1e-9
        for signs in product((1, -1), repeat=len(names))
    ]
    return sum(extreme) / len(extreme)


def test_few_groups_are_tested_exactly() -> None:
    random = np.random.default_rng(0)
    values = random.choice([-1.0, 0.0, 1.0], size=(24, 3), p=[0.1, 0.3, 0.6])
    groups = [f"r{row % 8}" for row in range(24)]
    p_values = randomisation_p(values, groups, draws=1000, seed=0)
    assert p_values.tolist() == [every_sign(values[:, column].tolist(), groups) for column in range(3)]


def test_random_signs_come_near_to_all_signs() -> None:
    values = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], size=(14, 1), p=[0.2, 0.3, 0.5])
    groups = [str(row) for row in range(14)]
    exact = every_sign(values[:, 0].tolist(), groups)
    assert randomisation_p(values, groups, draws=4000, seed=3)[0] == pytest.approx(exact, abs=0.03)
    again = randomisation_p(values, groups, draws=4000, seed=3)
    assert again.tolist() == randomisation_p(values, groups, draws=4000, seed=3).tolist()


def test_equal_models_give_one_and_sure_differences_the_least_p() -> None:
    groups = [str(row) for row in range(200)]
    values = np.stack([np.zeros(200), np.ones(200)], axis=1)
    assert randomisation_p(values, groups, draws=99, seed=0).tolist() == [1.0, 0.01]


def test_p_is_uniform_where_there_is_no_difference() -> None:
    random = np.random.default_rng(5)
    values = random.choice([-1.0, 1.0], size=(60, 400)) * random.random((60, 1))
    p_values = randomisation_p(values, [str(row) for row in range(60)], draws=400, seed=6)
    assert np.mean(p_values < 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(p_values < 0.5) == pytest.approx(0.5, abs=0.09)


def test_queries_that_do_not_differ_do_not_matter() -> None:
    """McNemar's exact test: six won, one lost."""
    values = np.zeros((300, 1))
    values[:6], values[6] = 1, -1
    p_values = randomisation_p(values, [str(row) for row in range(300)], draws=1000, seed=0)
    assert p_values.tolist() == [2 * (1 + 7) / 2**7]


def test_queries_of_one_reference_count_as_one() -> None:
    values = np.ones((40, 1))
    assert randomisation_p(values, ["a"] * 40, draws=1000, seed=0).tolist() == [1.0]
