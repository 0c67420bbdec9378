from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spn4cir_core.splits.components import components, group_links


def flood(count: int, links: list[tuple[int, int]]) -> list[int]:
    """Component numbers by walking from each node in turn."""
    labels = [-1] * count
    number = 0
    for start in range(count):
        if labels[start] >= 0:
            continue
        todo = [start]
        while todo:
            node = todo.pop()
            if labels[node] < 0:
                labels[node] = number
                todo += [b if a == node else a for a, b in links if node in (a, b)]
        number += 1
    return labels


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=20))
def test_components_are_numbered_by_their_first_node(links: list[tuple[int, int]]) -> None:
    numbers = components(15, np.array(links, dtype=np.int64).reshape(-1, 2))
    assert numbers.dtype == np.int32 and numbers.tolist() == flood(15, links)


def test_groups_are_chained_within_their_corpus() -> None:
    groups = [("a", "7"), ("a", ""), ("b", "7"), ("a", "7"), ("a", ""), ("a", "7")]
    assert group_links(groups).tolist() == [[0, 3], [3, 5]]
    assert group_links([]).shape == (0, 2)
