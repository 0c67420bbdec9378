"""Rules behind the guards: functions that name candidates which may also be correct answers (false negatives).

Candidates and triplets are numbered by their rows. A rule is prepared once, then gives the candidates of one triplet as
a sorted array of candidate rows. The array may hold the triplet's own target and reference, which the caller excludes:
the one is the positive, and a text that asks for a change never asks for the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Rule = Callable[[int], Rows]
"""From the row of a training triplet to the rows of its false negatives."""

NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True)
class TrainingSet:
    """Training triplets and candidates as columns; texts and captions already normalised for comparison."""

    triplet_ids: Sequence[str]
    candidate_ids: Sequence[str]
    candidate_captions: Sequence[Hashable]
    """Equal values mean equal captions; an empty one compares with nothing."""
    reference_ids: Sequence[str]
    target_ids: Sequence[str]
    texts: Sequence[Sequence[str]]
    origins: Sequence[str]

    def candidate_rows(self) -> Mapping[str, int]:
        """Row of each candidate by image id."""
        return self._candidate_rows

    @cached_property
    def _candidate_rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.candidate_ids)}

    @cached_property
    def target_rows(self) -> Rows:
        """Candidate row of each triplet's target."""
        return np.fromiter(map(self._candidate_rows.__getitem__, self.target_ids), np.int64, len(self.target_ids))

    @cached_property
    def reference_rows(self) -> Rows:
        """Candidate row of each triplet's reference; -1 where it is no candidate."""
        rows = (self._candidate_rows.get(name, -1) for name in self.reference_ids)
        return np.fromiter(rows, np.int64, len(self.reference_ids))


def near_duplicate(training: TrainingSet, near_duplicates: Iterable[tuple[str, str]]) -> Rule:
    """Candidates that are near-duplicates of the target, by the pairs found when the images were split."""
    rows = training.candidate_rows()
    neighbours: dict[str, set[int]] = defaultdict(set)
    for one, other in near_duplicates:
        for name, neighbour in ((one, other), (other, one)):
            if neighbour in rows:
                neighbours[name].add(rows[neighbour])
    ordered = {name: _sorted(own) for name, own in neighbours.items()}
    return lambda triplet: ordered.get(training.target_ids[triplet], NO_ROWS)


def annotated_target(training: TrainingSet) -> Rule:
    """Other targets that people annotated for the same reference and text."""
    return _targets_of_query(training, [row for row, name in enumerate(training.origins) if name == "annotated"])


def soft_target(training: TrainingSet, accepted: Mapping[str, Iterable[str]]) -> Rule:
    """Candidates that people accepted beside the target, by triplet id (CIRR's ``target_soft`` above zero)."""
    rows = training.candidate_rows()
    return lambda triplet: _sorted(
        {rows[name] for name in accepted.get(training.triplet_ids[triplet], ()) if name in rows}
    )


def same_text(training: TrainingSet) -> Rule:
    """Targets of any training triplet with the same reference and one of the same texts."""
    return _targets_of_query(training, range(len(training.target_ids)))


def _targets_of_query(training: TrainingSet, triplets: Iterable[int]) -> Rule:
    """Targets of the given triplets that have the reference and a text of the triplet in question."""
    rows, given = training.target_rows, list(triplets)
    triplets_of: dict[tuple[str, str], list[int]] = {}
    for triplet in given:
        for text in training.texts[triplet]:
            triplets_of.setdefault((training.reference_ids[triplet], text), []).append(triplet)
    alone = set(given).difference(*(others for others in triplets_of.values() if len(others) > 1))

    def rule(triplet: int) -> Rows:
        if triplet in alone:
            return rows[triplet : triplet + 1]
        if not given:
            return NO_ROWS
        queries = [(training.reference_ids[triplet], text) for text in training.texts[triplet]]
        return _sorted({int(rows[other]) for query in queries for other in triplets_of.get(query, ())})

    return rule


def same_caption(training: TrainingSet) -> Rule:
    """For a generated triplet, candidates whose caption says the same as the target's: its text is made of captions, so
    they answer it as well. An annotated text may ask for what captions do not say ("move it to the left").
    """
    holders: dict[Hashable, list[int]] = defaultdict(list)
    for row, caption in enumerate(training.candidate_captions):
        if caption:
            holders[caption].append(row)
    groups = {caption: np.array(rows, np.int64) for caption, rows in holders.items()}
    targets = training.target_rows.tolist()

    def rule(triplet: int) -> Rows:
        if training.origins[triplet] != "generated":
            return NO_ROWS
        return groups.get(training.candidate_captions[targets[triplet]], NO_ROWS)

    return rule


def look_alike(training: TrainingSet, neighbours: Mapping[int, Rows]) -> Rule:
    """Candidates more similar to the target than the threshold, by row of the target."""
    targets = training.target_rows.tolist()
    return lambda triplet: neighbours.get(targets[triplet], NO_ROWS)


def judged(answers: Mapping[int, Iterable[int]]) -> Rule:
    """Candidates that a judge accepts as answers, by row of the triplet."""
    return lambda triplet: _sorted(answers.get(triplet, ()))


def _sorted(rows: Iterable[int]) -> Rows:
    ordered = sorted(rows)
    return np.array(ordered, np.int64) if ordered else NO_ROWS


def are_nearest(rows: Rows, lengths: Rows, targets: Rows, most: int) -> npt.NDArray[np.bool_]:
    """Whether each row is one of at most ``most`` of its list: a run of neighbours in row order, around the target.

    A cut by row is free of chance and keeps images of one folder, which look alike, together.

    Args:
        rows: lists of sorted rows, one behind the other.
        lengths: of each list.
        targets: the row around which each list is cut.
    """
    list_of_each, first = np.repeat(np.arange(len(lengths)), lengths), np.cumsum(lengths) - lengths
    before = np.bincount(list_of_each[rows < targets[list_of_each]], minlength=len(lengths))
    start = np.clip(before - most // 2, 0, np.maximum(lengths - most, 0))
    number = np.arange(len(rows)) - (first + start)[list_of_each]
    return np.asarray((number >= 0) & (number < most))
