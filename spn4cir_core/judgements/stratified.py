"""A share of right answers over all queries, from judged ones of which some kinds were drawn more often."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

DRAWS = 4000
PRIOR = 0.5
"""Of a Beta distribution, on both sides (Jeffreys): what is assumed of a stratum before anything of it is judged."""
Query = TypeVar("Query")
Stratum = TypeVar("Stratum", bound=Hashable)


@dataclass(frozen=True)
class Tally:
    """Judged queries of one stratum."""

    queries: int
    """In the stratum, judged or not."""
    judged: int
    """By a majority."""
    right: int
    undecided: int = 0
    """Judged without a majority: they count as judged, and say nothing of the share."""


@dataclass(frozen=True)
class Share:
    """A share of all queries with its central 95 % interval."""

    value: float
    low: float
    high: float
    judged: int
    """Judged queries, those without a majority included: what another judge says never takes one away."""

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2


def stratified_share(tallies: Sequence[Tally], seed: int = 0) -> Share:
    """The share of right answers over all queries of all strata.

    Each stratum's share is Beta(right + 1/2, wrong + 1/2) (Jeffreys), and counts by its number of queries.
    Value: the mean of the draws.
    """
    random = np.random.default_rng(seed)
    total = max(1, sum(tally.queries for tally in tallies))
    draws_R = np.zeros(DRAWS)
    for tally in tallies:
        share_R = random.beta(tally.right + PRIOR, tally.judged - tally.right + PRIOR, DRAWS)
        draws_R += tally.queries / total * share_R
    low, high = np.quantile(draws_R, [0.025, 0.975])
    return Share(
        float(draws_R.mean()), float(low), float(high), sum(tally.judged + tally.undecided for tally in tallies)
    )


def stratified_order(
    strata: Mapping[Stratum, Sequence[Query]], spread_of: Mapping[Stratum, float], seed: int
) -> list[Query]:
    """All queries, each stratum in random order, so that any beginning of the list holds the strata in the proportions
    size × spread: the allocation of the least variance (Neyman, 1934).

    Args:
        spread_of: the expected standard deviation of the outcome within each stratum, above 0.
    """
    random = np.random.default_rng(seed)
    keyed: list[tuple[float, int, Query]] = []
    for number, (stratum, queries) in enumerate(strata.items()):
        wanted = len(queries) * spread_of[stratum]
        for position, row in enumerate(random.permutation(len(queries)).tolist()):
            keyed.append(((position + 0.5) / wanted, number, queries[row]))
    return [query for _, _, query in sorted(keyed, key=lambda each: each[:2])]
