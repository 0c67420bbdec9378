"""Pictures of the report: retrieved images, triplets, and candidates that are not negatives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.evaluation.measure import Answers
from spn4cir_core.negatives.read_false_negatives import sample_false_negatives
from spn4cir_core.reports.sources import Sources
from spn4cir_core.reports.suspicious import Likeness, suspicions
from spn4cir_core.reports.thumbnails import Thumbnails
from spn4cir_core.splits.components import components
from spn4cir_core.splits.split_tables import read_near_duplicates
from spn4cir_core.training.roles import served_among
from spn4cir_core.triplets.refusal_report import read_refused
from spn4cir_core.triplets.triplet_tables import read_triplets

SHOWN_HITS = 5
SHORTCUTS = ("image", "text", "sum")
Tile = dict[str, Any]


SHOWN_COLUMNS = ("triplet_id", "reference_id", "target_id", "modified_texts", "origin", "rank", "split")


@dataclass(frozen=True)
class Draw:
    """How many examples each gallery shows, and the seed that they are drawn with."""

    count: int
    seed: int


class Pictures:
    """Tiles of images: a thumbnail with an alternative text."""

    def __init__(self, thumbnails: Thumbnails, captions: Mapping[str, str]) -> None:
        self.thumbnails, self._captions = thumbnails, captions

    def tile(self, image_id: str, **more: Any) -> Tile:
        """Thumbnail, caption and id of one image."""
        caption = self._captions.get(image_id, "")
        return {"image_id": image_id, "caption": caption, "uri": self.thumbnails.uri(image_id), **more}


def galleries(
    sources: Sources, answers: Sequence[Answers], draw: Draw, pictures: Pictures, excluded: Mapping[str, int]
) -> dict[str, Any]:
    """All galleries of the page by name.

    Args:
        excluded: counts of false negatives by reason.
    """
    count, seed = draw.count, draw.seed
    made_of, likeness = sources.lineage, sources.likeness
    triplets = read_triplets(made_of["triplets"], *SHOWN_COLUMNS)
    each = max(1, count // max(1, len(excluded)))
    sampled = sample_false_negatives(made_of["false_negatives"], excluded, each, seed) if count else {}
    return {
        "retrieval": {
            answer.query_set.name: retrieval_gallery(
                answer, served_among(answer.models).name, count, seed, pictures, likeness
            )
            for answer in answers
        },
        "triplets": triplet_gallery(triplets, count, seed, pictures),
        "refused": refused_gallery(read_refused(made_of["triplets"]), count, seed, pictures),
        "false_negatives": false_negative_gallery(sampled, triplets, pictures),
        "near_duplicates": near_duplicate_gallery(
            read_near_duplicates(made_of["splits"], views=False), count, pictures
        ),
    }


def retrieval_gallery(
    answers: Answers, model: str, count: int, seed: int, pictures: Pictures, likeness: Likeness
) -> list[dict[str, Any]]:
    """Up to ``count`` queries in four groups: wins, losses, suspicious ones, a random draw; first hits, targets marked.

    A win is a query that the composed query answers best, compared with image only, text only and their
    sum; a loss is one whose best target stands last; for suspicious ones see ``suspicious.py``.
    """
    composed = answers.ranks[model, "composed"]
    shortcut = np.min([answers.ranks[model, mode] for mode in SHORTCUTS], axis=0)
    each = -(-count // 4)
    seen: set[str] = set()
    wins = [int(row) for row in np.lexsort((-shortcut, composed)) if composed[row] < min(shortcut[row], SHOWN_HITS)]
    losses = [int(row) for row in np.argsort(-composed, kind="stable") if composed[row] >= SHOWN_HITS]
    doubted = suspicions(answers, model, likeness)
    why = {row: reason for reason, rows in reversed(doubted.items()) for row in rows}
    in_turn = [row for rows in zip_longest(*doubted.values()) for row in rows if row is not None]
    drawn = np.random.default_rng(seed).permutation(len(composed)).tolist()
    groups: Sequence[tuple[str, list[int], int, Mapping[int, str]]] = (
        ("Wins: picture and text together find what neither finds alone", wins, each, {}),
        ("Losses: the right picture stands far down", losses, each, {}),
        ("Suspicious: look before you believe", in_turn, each, why),
        ("Drawn at random", drawn, count - 3 * each, {}),
    )
    filled = []
    for title, candidates, most, reasons in groups:
        rows = _distinct(answers, candidates, most, seen)
        shown = [_shown(answers, model, row, pictures) | {"why": reasons.get(row, "")} for row in rows]
        filled += [{"title": title, "queries": shown}] if shown else []
    return filled


def _distinct(answers: Answers, rows: Iterable[int], count: int, seen: set[str]) -> list[int]:
    """The first rows whose reference has not been shown yet."""
    distinct: list[int] = []
    for row in rows:
        if len(distinct) >= count:
            break
        reference = answers.query_set.queries[row].reference_id
        if reference not in seen:
            seen.add(reference)
            distinct.append(row)
    return distinct


def _shown(answers: Answers, model: str, row: int, pictures: Pictures) -> dict[str, Any]:
    query = answers.query_set.queries[row]
    gallery = answers.query_set.gallery_ids
    hits = [gallery[hit] for hit in answers.hits[model, "composed"][row][:SHOWN_HITS] if hit >= 0]
    missed = not set(hits) & set(query.target_ids)
    return {
        "reference": pictures.tile(query.reference_id),
        "text": query.modified_text,
        "kind": query.kind,
        "rank": int(answers.ranks[model, "composed"][row]),
        "shortcut_ranks": {mode: int(answers.ranks[model, mode][row]) for mode in SHORTCUTS},
        "targets": len(query.target_ids),
        "hits": [pictures.tile(hit, right=hit in query.target_ids) for hit in hits],
        "missed": pictures.tile(query.target_ids[0]) if missed else None,
    }


def triplet_gallery(triplets: pa.Table, count: int, seed: int, pictures: Pictures) -> list[dict[str, Any]]:
    """A seeded sample of training triplets, of each origin as many."""
    trained = triplets.filter(pc.equal(triplets["split"], "train"))
    origins = sorted(set(trained["origin"].to_pylist()))
    shown = []
    for number, origin in enumerate(origins):
        rows = trained.filter(pc.equal(trained["origin"], origin))
        share = count // len(origins) + (number < count % len(origins))
        shown += [_triplet(row, pictures) for row in _sample(rows, share, seed)]
    return shown


def refused_gallery(refused: pa.Table, count: int, seed: int, pictures: Pictures) -> list[dict[str, Any]]:
    """A seeded sample, per reason, of the triplets that gates and verdicts refused; the commonest reason first."""
    reasons = Counter(refused["reason"].to_pylist()).most_common() if count else []
    each = max(1, count // max(1, len(reasons)))
    return [
        {
            "reason": reason,
            "triplets": [
                _triplet(row, pictures)
                for row in _sample(refused.filter(pc.equal(refused["reason"], reason)), each, seed)
            ],
        }
        for reason, _ in sorted(reasons, key=lambda entry: (-entry[1], entry[0]))
    ]


def _triplet(row: Mapping[str, Any], pictures: Pictures) -> dict[str, Any]:
    return {
        "origin": row["origin"],
        "reference": pictures.tile(row["reference_id"]),
        "target": pictures.tile(row["target_id"]),
        "text": " / ".join(row["modified_texts"]),
        "rank": row["rank"],
    }


def near_duplicate_gallery(links: Sequence[tuple[str, str]], count: int, pictures: Pictures) -> list[dict[str, Any]]:
    """Up to ``count`` groups of images that near-duplicate links join, the largest first, each with its first images.

    Args:
        links: pairs of image ids.
    """
    image_ids = sorted({image_id for pair in links for image_id in pair})
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    rows_L2 = np.array([[row_of[one], row_of[other]] for one, other in links], np.int64).reshape(-1, 2)
    groups: dict[int, list[str]] = {}
    for image_id, component in zip(image_ids, components(len(image_ids), rows_L2).tolist(), strict=True):
        groups.setdefault(component, []).append(image_id)
    largest = sorted(groups.values(), key=lambda group: (-len(group), group))[:count]
    return [{"images": len(group), "shown": [pictures.tile(name) for name in group[:SHOWN_HITS]]} for group in largest]


def false_negative_gallery(
    sampled: Mapping[str, Sequence[Mapping[str, Any]]], triplets: pa.Table, pictures: Pictures
) -> list[dict[str, Any]]:
    """Rows of false negatives by their reason: queries, their targets, and the candidates that answer them as well."""
    wanted = pa.array([row["triplet_id"] for rows in sampled.values() for row in rows], pa.string())
    rows = triplets.filter(pc.is_in(triplets["triplet_id"], value_set=wanted)).to_pylist()
    queries = {row["triplet_id"]: row for row in rows}
    return [
        {
            "reason": reason.replace("_", " "),
            "pairs": [
                {
                    "reference": pictures.tile(queries[row["triplet_id"]]["reference_id"]),
                    "text": " / ".join(queries[row["triplet_id"]]["modified_texts"]),
                    "target": pictures.tile(queries[row["triplet_id"]]["target_id"]),
                    "candidate": pictures.tile(row["image_id"]),
                }
                for row in rows
                if row["triplet_id"] in queries
            ],
        }
        for reason, rows in sampled.items()
    ]


def _sample(table: pa.Table, count: int, seed: int) -> Sequence[dict[str, Any]]:
    picked = np.random.default_rng(seed).permutation(len(table))[:count]
    rows: list[dict[str, Any]] = table.take(pa.array(sorted(picked.tolist()), pa.int64())).to_pylist()
    return rows
