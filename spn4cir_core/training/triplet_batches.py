"""Which triplets, with which text, each step sees: a function of the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.training.batch_orders import grouped_order
from spn4cir_core.training.settings import Schedule
from spn4cir_core.triplets.triplet_tables import read_candidates, read_triplets

TRAINED_COLUMNS = ("triplet_id", "reference_id", "target_id", "modified_texts", "weight", "repeats", "split")


@dataclass(frozen=True)
class TripletBatch:
    """B triplets of one step."""

    triplets_B: np.ndarray
    """Row of each triplet among the training triplets."""
    references_B: np.ndarray
    """Candidate row of each reference image."""
    targets_B: np.ndarray
    """Candidate row of each target image."""
    texts: list[str]
    weights_B: np.ndarray
    """float32 weight of each triplet's loss."""

    def visits(self) -> Iterator[tuple[int, str]]:
        """Row and text of each triplet."""
        return zip(self.triplets_B.tolist(), self.texts, strict=True)


@dataclass(frozen=True)
class TrainingTriplets:
    """The triplets of the training split, their images as rows of the candidate set."""

    ids: list[str]
    references: np.ndarray
    targets: np.ndarray
    texts: list[list[str]]
    weights: np.ndarray
    visits: np.ndarray
    """One entry for each time an epoch visits a triplet: its row."""
    candidates: pa.Table
    groups: np.ndarray | None = None
    """Group of each triplet whose members stand together in batches; None: an epoch is a plain permutation."""
    runs_per_batch: int = 1
    """Groups that meet in a batch."""

    def all_texts(self) -> list[str]:
        """Every distinct text, sorted."""
        return sorted({text for texts in self.texts for text in texts})

    def batch_size(self, most: int) -> int:
        """Batches are never larger than an epoch."""
        return min(most, len(self.visits))

    def steps(self, schedule: Schedule) -> int:
        """Steps of a schedule that gives them, or gives epochs."""
        if schedule.steps is not None:
            return schedule.steps
        rows = self.batch_size(schedule.batch_size) * schedule.accumulate_batches
        return max(schedule.min_steps, -(-int(schedule.epochs * len(self.visits)) // rows))

    def batch(self, seed: int, stage: str, step: int, batch_size: int) -> TripletBatch:
        """The batch of one step. Epochs follow one another without a short last batch."""
        size = self.batch_size(batch_size)
        visits = np.arange(step * size, (step + 1) * size)
        epochs, positions = divmod(visits, len(self.visits))
        rows = np.empty(size, np.int64)
        for epoch in np.unique(epochs):
            order = self._order(int(epoch), size, random_of(seed, stage, "order", int(epoch)))
            rows[epochs == epoch] = order[positions[epochs == epoch]]
        draws = random_of(seed, stage, "texts", step).random(size)
        texts = [self.texts[row][int(draw * len(self.texts[row]))] for row, draw in zip(rows, draws, strict=True)]
        return TripletBatch(rows, self.references[rows], self.targets[rows], texts, self.weights[rows])

    def _order(self, epoch: int, size: int, random: np.random.Generator) -> np.ndarray:
        if self.groups is None:
            return random.permutation(self.visits)
        lead = -epoch * len(self.visits) % size
        return grouped_order(self.visits, self.groups[self.visits], max(1, size // self.runs_per_batch), lead, random)


def random_of(seed: int, stage: str, purpose: str, number: int) -> np.random.Generator:
    """A generator that depends on its arguments alone."""
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([seed, crc32(f"{stage}/{purpose}".encode()), number]))
    )


def read_training_triplets(triplets: Artifact) -> TrainingTriplets:
    """The training triplets of a ``triplets`` artefact.

    Raises:
        InputError: there is no training triplet.
        StoreError: a triplet's image is not in the candidate set.
    """
    table = read_triplets(triplets, *TRAINED_COLUMNS)
    table = table.filter(pc.equal(table["split"], "train"))
    if not len(table):
        raise InputError(
            "there are no training triplets. Annotate some (triplets.csv), add pictures, or widen the window of "
            "[pairs] so that pairs can be generated."
        )
    candidates = read_candidates(triplets, "image_id", "path", "pixel_sha256")
    row_of = {image: row for row, image in enumerate(candidates["image_id"].to_pylist())}
    return TrainingTriplets(
        ids=table["triplet_id"].to_pylist(),
        references=_rows(table["reference_id"].to_pylist(), row_of),
        targets=_rows(table["target_id"].to_pylist(), row_of),
        texts=table["modified_texts"].to_pylist(),
        weights=table["weight"].to_numpy().astype(np.float32),
        visits=np.repeat(np.arange(len(table)), table["repeats"].to_numpy()),
        candidates=candidates,
    )


def _rows(images: Sequence[str], row_of: Mapping[str, int]) -> np.ndarray:
    try:
        return np.array([row_of[image] for image in images], np.int64)
    except KeyError as error:
        raise StoreError(f"triplets names image {error.args[0]!r}, which its candidates.parquet has not") from error


@dataclass(frozen=True)
class FalseNegatives:
    """Candidate rows that are not taken as negatives of a triplet: of triplet i ``rows[starts[i]:starts[i + 1]]``."""

    starts: np.ndarray
    rows: np.ndarray

    @classmethod
    def none(cls, triplets: TrainingTriplets) -> FalseNegatives:
        """Every candidate but the target is a negative."""
        return cls(np.zeros(len(triplets.ids) + 1, np.int64), np.empty(0, np.int64))

    def pairs(self, triplets_B: np.ndarray) -> np.ndarray:
        """(M, 2) int64: position in the batch, candidate row."""
        counts = self.starts[triplets_B + 1] - self.starts[triplets_B]
        rows = [self.rows[self.starts[row] : self.starts[row + 1]] for row in triplets_B]
        return np.stack([np.repeat(np.arange(len(triplets_B)), counts), np.concatenate(rows)], axis=1)


def read_false_negatives(false_negatives: Artifact, triplets: TrainingTriplets) -> FalseNegatives:
    """The known false negatives of each training triplet, each once whatever the number of reasons.

    They are read piece by piece, since common captions make them many: 4 bytes each stay in memory.

    Raises:
        StoreError: they are not in the order of the triplets and candidates.
    """
    triplet_rows = {name: row for row, name in enumerate(triplets.ids)}
    candidate_rows = {name: row for row, name in enumerate(triplets.candidates["image_id"].to_pylist())}
    counts, rows, last = np.zeros(len(triplets.ids), np.int64), [np.empty(0, np.int32)], -1
    for piece in false_negatives.pieces(["triplet_id", "image_id"]):
        owners = _known_rows(piece["triplet_id"], triplet_rows)
        candidates = _known_rows(piece["image_id"], candidate_rows)
        other = (owners >= 0) & (candidates >= 0) & (candidates != triplets.targets[owners])
        numbers = owners[other] * len(candidate_rows) + candidates[other]
        if (np.diff(numbers, prepend=last) < 0).any():
            raise StoreError(f"{false_negatives.location} is not sorted. Delete it and run again")
        once = np.flatnonzero(other)[np.diff(numbers, prepend=last) > 0]
        counts += np.bincount(owners[once], minlength=len(counts))
        rows.append(candidates[once].astype(np.int32))
        last = max(last, int(numbers[-1]) if len(numbers) else -1)
    return FalseNegatives(np.concatenate([[0], np.cumsum(counts)]), np.concatenate(rows))


def _known_rows(names: pa.Array, row_of: Mapping[str, int]) -> np.ndarray:
    """The number of each name, -1 for those that are not known."""
    encoded = names.dictionary_encode()
    numbers = np.array([row_of.get(name, -1) for name in encoded.dictionary.to_pylist()], np.int64)
    rows: np.ndarray = numbers[encoded.indices.to_numpy()]
    return rows
