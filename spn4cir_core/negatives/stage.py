"""The ``false_negatives`` stage: candidates that stage 2 must not push away, per training triplet and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spn4cir_core.annotations.judged import rejected_candidates
from spn4cir_core.engine.growth import Corpus, Load
from spn4cir_core.engine.plugins import kind_of
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.images.files import image_files
from spn4cir_core.negatives.base import GUARDS
from spn4cir_core.negatives.guard import GuardContext
from spn4cir_core.negatives.read_false_negatives import FALSE_NEGATIVES_FILE, SCHEMA
from spn4cir_core.negatives.rules import NO_ROWS, Rows, Rule, TrainingSet, are_nearest
from spn4cir_core.negatives.settings import FalseNegativesInput
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.whole_file import whole_file
from spn4cir_core.texts.caption_meanings import meaning_digests
from spn4cir_core.triplets.triplet import normalised
from spn4cir_core.triplets.triplet_tables import read_candidates, read_triplets

TRIPLETS_PER_BLOCK = 512
SAMPLES = 12


def mine_false_negatives(work: Work[FalseNegativesInput]) -> None:
    """Write ``false_negatives.parquet``, sorted by triplet, image and reason."""
    draft = work.draft
    with draft.timed("read"):
        training = read_training_set(work)
    rejected = rejected_candidates(work.parents["annotations"])
    tally = Tally(training, work.settings.false_negatives.most_per_guard, rejected)
    with draft.timed("compute"):
        context = GuardContext(work, training)
        guards = work.settings.false_negatives.guards
        blocks = tally.blocks({kind_of(guard): GUARDS.build(guard).prepare(context) for guard in guards})
        write_blocks(draft.file(FALSE_NEGATIVES_FILE), blocks, len(training.triplet_ids), work)
    draft.rows = sum(tally.rows.values())
    for reason, count in sorted(tally.cut.items()):
        draft.drop(f"{reason}: more than most_per_guard for one triplet", count)
    draft.details |= tally.summary()


def read_training_set(work: Work[FalseNegativesInput]) -> TrainingSet:
    """What the guards need of the training triplets and of the candidates."""
    triplets = work.parents["triplets"]
    columns = ("triplet_id", "reference_id", "target_id", "modified_texts", "origin", "split")
    table = read_triplets(triplets, *columns)
    rows = table.filter(pc.equal(table["split"], "train")).combine_chunks()
    candidates = read_candidates(triplets, "image_id", "caption")
    captions = candidates["caption"].to_pylist()
    meaning_of = meaning_digests(captions, work.store, work.progress, work.draft.seconds)
    return TrainingSet(
        triplet_ids=rows["triplet_id"].to_pylist(),
        candidate_ids=candidates["image_id"].to_pylist(),
        candidate_captions=[meaning_of[caption] for caption in captions],
        reference_ids=rows["reference_id"].to_pylist(),
        target_ids=rows["target_id"].to_pylist(),
        texts=[list(map(normalised, texts)) for texts in rows["modified_texts"].to_pylist()],
        origins=rows["origin"].to_pylist(),
    )


class Tally:
    """Applies the guards triplet by triplet, and counts the candidates they exclude."""

    def __init__(
        self, training: TrainingSet, most_per_guard: int, rejected: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """``rejected``: triplet id → images that people call wrong, which no guard excludes."""
        self.training, self.most = training, most_per_guard
        row_of = training.candidate_rows()
        self.rejected = np.array(
            [
                self._number(triplet, row_of[image_id])
                for triplet, triplet_id in enumerate(training.triplet_ids if rejected else ())
                for image_id in (rejected or {}).get(triplet_id, ())
                if image_id in row_of
            ],
            np.int64,
        )
        """Numbers of triplet and candidate."""
        self.rows: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self.excluded = self.touched = 0
        self.samples: list[dict[str, str]] = []

    def blocks(self, rules: Mapping[str, Rule]) -> Iterator[tuple[int, pa.Table]]:
        """Yield the rows of a block of triplets, with the number of triplets done.

        Candidates are sorted by id, so rows in the order of their numbers are in the order of their ids.
        """
        triplet_ids, reasons = self.training.triplet_ids, sorted(rules)
        names = [pa.array(values, pa.string()) for values in (triplet_ids, self.training.candidate_ids, reasons)]
        for first in range(0, len(triplet_ids), TRIPLETS_PER_BLOCK):
            block = range(first, min(first + TRIPLETS_PER_BLOCK, len(triplet_ids)))
            parts = [self._excluded(block, reason, rules[reason]) for reason in reasons]
            triplets, candidates = (np.concatenate([NO_ROWS, *(part[side] for part in parts)]) for side in (0, 1))
            codes = np.concatenate([NO_ROWS, *(np.full(len(rows), code) for code, (rows, _) in enumerate(parts))])
            order = np.lexsort((codes, candidates, triplets))
            numbers = [column[order] for column in (triplets, candidates, codes)]
            self._count(numbers[0], numbers[1], reasons, numbers[2])
            columns = [values.take(pa.array(rows)) for values, rows in zip(names, numbers, strict=True)]
            yield block.stop, pa.table(columns, schema=SCHEMA)

    def _excluded(self, block: range, reason: str, rule: Rule) -> tuple[Rows, Rows]:
        """Triplet and candidate of each row that a guard excludes, in their order."""
        excluded = [rule(triplet) for triplet in block]
        lengths = [len(rows) for rows in excluded]
        triplets = np.repeat(np.arange(block.start, block.stop), lengths)
        candidates = np.concatenate([NO_ROWS, *excluded])
        own = [rows[triplets] for rows in (self.training.target_rows, self.training.reference_rows)]
        excluded_P = (candidates != own[0]) & (candidates != own[1])
        if len(self.rejected):
            excluded_P &= ~np.isin(self._number(triplets, candidates), self.rejected)
        triplets, candidates = triplets[excluded_P], candidates[excluded_P]
        left = np.bincount(triplets - block.start, minlength=len(block)).astype(np.int64)
        nearest = are_nearest(candidates, left, self.training.target_rows[block.start : block.stop], self.most)
        self.rows[reason] += int(np.count_nonzero(nearest))
        self.cut[reason] += int(np.count_nonzero(~nearest))
        return triplets[nearest], candidates[nearest]

    def _number(self, triplet: Any, candidate: Any) -> Any:
        """One number for both."""
        return triplet * len(self.training.candidate_ids) + candidate

    def _count(self, triplets: Rows, candidates: Rows, names: list[str], reasons: Rows) -> None:
        """Count a block's rows, sorted by triplet and candidate; keep the first row of some triplets as a sample."""
        is_first_reason = np.ones(len(triplets), bool)
        is_first_reason[1:] = (np.diff(triplets) != 0) | (np.diff(candidates) != 0)
        self.excluded += int(is_first_reason.sum())
        touched, first_rows = np.unique(triplets, return_index=True)
        self.touched += len(touched)
        for row in first_rows[: SAMPLES - len(self.samples)]:
            self.samples.append(self._sample(int(triplets[row]), int(candidates[row]), names[reasons[row]]))

    def _sample(self, triplet: int, row: int, reason: str) -> dict[str, str]:
        return {
            "reference": self.training.reference_ids[triplet],
            "modified_text": self.training.texts[triplet][0],
            "target": self.training.target_ids[triplet],
            "not_a_negative": self.training.candidate_ids[row],
            "reason": reason,
        }

    def summary(self) -> dict[str, Any]:
        """Counts by reason, and how much of the bank is masked for a triplet on average."""
        triplets, candidates = len(self.training.target_ids), len(self.training.candidate_ids)
        return {
            "by_reason": dict(sorted(self.rows.items())),
            "triplets": triplets,
            "triplets_with_false_negatives": self.touched,
            "candidates": candidates,
            "masked_per_triplet_mean": round(self.excluded / max(1, triplets), 3),
            "masked_bank_share": round(self.excluded / max(1, triplets * candidates), 6),
            "samples": self.samples,
        }


def write_blocks(
    path: Path, blocks: Iterator[tuple[int, pa.Table]], total: int, work: Work[FalseNegativesInput]
) -> None:
    """Write tables one after the other into one Parquet file, whole or not at all."""
    with whole_file(path) as scratch, pq.ParquetWriter(scratch, SCHEMA, compression="zstd") as writer:
        for done, table in blocks:
            writer.write_table(table)
            work.progress("false negatives", done, total)


def judge_weights(tables: FalseNegativesInput, store: Store) -> Any:
    """What the stage reads from outside the store: the weights of the judge, if a guard uses it."""
    settings = tables.false_negatives
    if settings.judge is None or not any(GUARDS.build(guard).requires_judge for guard in settings.guards):
        return None
    return settings.judge.fingerprint(image_files(tables.images, store))


def growth(corpus: Corpus, settings: FalseNegativesInput) -> Load:
    """Every triplet and row found, and with ``look_alike`` every target with every candidate."""
    compared = "look_alike" in settings.false_negatives.guards
    products = corpus.triplets * corpus.candidates * corpus.dimensions if compared else 0.0
    rows = corpus.triplets * (1 + corpus.excluded_per_triplet)
    return Load(rows, "row", products, held_rows=corpus.triplets + corpus.candidates)


FALSE_NEGATIVES = Stage(
    name="false_negatives",
    parents=("annotations", "triplets", "splits", "image_embeddings"),
    view=FalseNegativesInput,
    version=2,
    write=mine_false_negatives,
    external_inputs=judge_weights,
    growth=growth,
)
