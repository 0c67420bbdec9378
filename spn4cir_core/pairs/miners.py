"""The pair miners that come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field
from typing_extensions import override

from spn4cir_core.captions.words import words_of
from spn4cir_core.errors import InputError
from spn4cir_core.index.neighbour_index import MAX_NEIGHBOURS
from spn4cir_core.pairs.caption_overlap import CaptionIndex, OverlapLimits, mine_caption_overlap, paired_share
from spn4cir_core.pairs.draws import draw
from spn4cir_core.pairs.exact import mine_exact
from spn4cir_core.pairs.landmarks import measure, mine_landmarks
from spn4cir_core.pairs.miner import Miner, MiningJob
from spn4cir_core.pairs.neighbours import SPARE, mine_neighbours
from spn4cir_core.pairs.phrase_apart import PhraseIndex, mine_phrase_apart
from spn4cir_core.pairs.picks import Picks
from spn4cir_core.pairs.rank_window import RankWindow

CAPTIONS_TRIED = 2000
"""Training images whose captions ``auto_positives`` looks at to decide."""
EXACT_UP_TO = 12_000
"""Other images up to which ``auto`` ranks all of them."""


class Exact(Miner):
    """Ranks all images, block by block: N² · D products."""

    plugin_kind = "exact"

    @override
    def mine(self, job: MiningJob) -> tuple[Picks, dict[str, Any]]:
        picks = mine_exact(
            job.vectors, job.window, job.references, job.keys, job.per_reference, job.allowed, job.on_progress
        )
        return picks, {"rank_is": "exact"}


class Neighbours(Miner):
    """Asks FAISS for the nearest images: windows that end at rank 2,032 or before."""

    plugin_kind = "neighbours"

    @override
    def suited_to(self, window: RankWindow, landmarks: int) -> Miner:
        if not is_within_reach(window):
            raise InputError(
                f"pairs: mode 'neighbours' reaches rank {MAX_NEIGHBOURS - 1 - SPARE}; the window ends at {window.end}. "
                "Use mode 'auto', 'exact' or 'landmarks'."
            )
        return self

    @override
    def mine(self, job: MiningJob) -> tuple[Picks, dict[str, Any]]:
        picks, index = mine_neighbours(
            job.vectors, job.window, job.references, job.keys, job.per_reference, job.allowed, job.on_progress
        )
        return picks, {"rank_is": "exact" if index["index"] == "flat" else "among neighbours", **index}


class Landmarks(Miner):
    """Estimates ranks from the similarities to random landmark images: wide windows of large corpora."""

    plugin_kind = "landmarks"

    @override
    def suited_to(self, window: RankWindow, landmarks: int) -> Miner:
        """Few images need no estimate: ranking them costs less than the landmarks' scores."""
        return Exact() if landmarks > window.others else self

    @override
    def mine(self, job: MiningJob) -> tuple[Picks, dict[str, Any]]:
        picks = mine_landmarks(
            job.vectors,
            job.window,
            job.references,
            job.keys,
            job.per_reference,
            job.allowed,
            job.landmarks,
            job.seed,
            job.on_progress,
        )
        details: dict[str, Any] = {"rank_is": "estimated", "landmarks": job.landmarks}
        if len(picks.reference):
            accuracy = measure(job.vectors, job.window, picks, job.seed)
            details |= {
                "sampled_picks": accuracy.sampled,
                "sampled_inside_window": round(accuracy.inside_share, 4),
                "sampled_mean_rank_error": round(accuracy.mean_rank_error, 1),
            }
        return picks, details


class CaptionOverlap(Miner):
    """Pairs images whose captions share most words: see :mod:`.caption_overlap`. The window counts for nothing."""

    plugin_kind = "caption_overlap"
    plugin_version = 2
    """2: rarities are whole numbers, so that equal shares are equal in every process; draws depend on two images."""
    reads_captions = True
    least_share: float = Field(default=0.4, ge=0, lt=1)
    """Share of the rarer caption's words, weighted by their rarity, that both captions have."""
    most_words_apart: int = Field(default=3, ge=1)
    """Words that one of the two captions has and the other one has not."""

    @override
    def mine(self, job: MiningJob) -> tuple[Picks, dict[str, Any]]:
        assert job.captions is not None, "the stage reads them for a miner that says so"
        limits = OverlapLimits(self.least_share, self.most_words_apart, job.per_reference)
        index = CaptionIndex(job.captions, job.keys)
        picks = mine_caption_overlap(index, job.vectors, job.references, limits, job.allowed, job.on_progress)
        return picks, {"rank_is": "among the reference's own targets", "captioned": sum(map(bool, job.captions))}


class OnePhraseApart(Miner):
    """Pairs images whose captions differ in one phrase, the nearest by picture first: see :mod:`.phrase_apart`.

    The window counts for nothing.
    """

    plugin_kind = "one_phrase_apart"
    reads_captions = True

    @override
    def mine(self, job: MiningJob) -> tuple[Picks, dict[str, Any]]:
        assert job.captions is not None, "the stage reads them for a miner that says so"
        picks = mine_phrase_apart(
            PhraseIndex(job.captions),
            job.vectors,
            job.references,
            job.keys,
            job.per_reference,
            job.allowed,
            job.on_progress,
        )
        return picks, {"rank_is": "among the reference's own targets", "captioned": sum(map(bool, job.captions))}


class AutoPositives(Miner):
    """``caption_overlap`` where enough captions share most words, else ``auto`` in the window of similarity ranks.

    Decided on the captions of the training split, for all splits; the summary says which it took and why.
    """

    plugin_kind = "auto_positives"
    plugin_version = CaptionOverlap.plugin_version
    reads_captions = True
    overlap: CaptionOverlap = CaptionOverlap()
    least_paired_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the training images that must have a target by their captions."""

    @override
    def suited_to(self, window: RankWindow, landmarks: int) -> Miner:
        """By looks: what the work is at most, before captions have been read."""
        return Auto().suited_to(window, landmarks)

    @override
    def suited_to_captions(self, captions: Sequence[str]) -> tuple[Miner, dict[str, Any]]:
        limits = OverlapLimits(self.overlap.least_share, self.overlap.most_words_apart, per_reference=1)
        keys_N = draw(np.arange(len(captions), dtype=np.uint64), 0)
        share = paired_share(CaptionIndex(captions, keys_N), limits, CAPTIONS_TRIED)
        miner: Miner = self.overlap if share >= self.least_paired_share else Auto()
        words = [len(words_of(caption)) for caption in captions if caption]
        return miner, {
            "positives": miner.plugin_kind,
            "why": f"{share:.0%} of the training images have a caption that shares most words with another one and "
            f"differs in few; caption_overlap needs {self.least_paired_share:.0%}",
            "captioned": len(words),
            "distinct_captions": len(set(filter(None, captions))),
            "words_per_caption": round(sum(words) / max(1, len(words)), 1),
            "paired_share": round(share, 4),
        }

    @override
    def mine(self, job: MiningJob) -> tuple[Picks, dict[str, Any]]:
        assert job.captions is not None, "the stage reads them for a miner that says so"
        return self.suited_to_captions(job.captions)[0].mine(job)


class Auto(Miner):
    """The cheapest of the others that fits the window and the number of images."""

    plugin_kind = "auto"

    @override
    def suited_to(self, window: RankWindow, landmarks: int) -> Miner:
        if window.others <= EXACT_UP_TO:
            return Exact()
        if is_within_reach(window):
            return Neighbours()
        return Landmarks() if landmarks <= window.others / 4 else Exact()

    @override
    def mine(self, job: MiningJob) -> tuple[Picks, dict[str, Any]]:
        return self.suited_to(job.window, job.landmarks).mine(job)


def is_within_reach(window: RankWindow) -> bool:
    """Whether a list of nearest neighbours can hold the window."""
    return window.end + 1 + SPARE <= MAX_NEIGHBOURS
