"""The blend, each channel alone and the blend without each channel, measured on the models' queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from spn4cir_core.blend.evidence import Evidence
from spn4cir_core.blend.fitted import FittedBlend, in_parts
from spn4cir_core.channels.base import ComposedQueries, Gallery
from spn4cir_core.engine.progress import Progress
from spn4cir_core.evaluation.base import Query, QuerySet
from spn4cir_core.evaluation.encode import MODES
from spn4cir_core.evaluation.measure import Answers, GalleryQueries, ModelVectors, by_gallery, gallery_images
from spn4cir_core.evaluation.reference_pairs import ReferencePairs
from spn4cir_core.training.roles import BLEND

ALONE, WITHOUT = "only ", "without "
"""Begin the modes of one channel alone, and of the blend without it."""


def ask_blend(
    blend: FittedBlend,
    evidence: Evidence,
    answers: Sequence[Answers],
    vectors_of: Mapping[str, ModelVectors],
    published_too: bool,
    progress: Progress,
) -> None:
    """Add the blend's answers; sets of published protocols are left out unless ``published_too``.

    Args:
        vectors_of: of the trained models, as :func:`~spn4cir_core.evaluation.measure.ask` fills it.
    """
    row_of = {image_id: row for row, image_id in enumerate(gallery_images(answers))}
    measured = [answer for answer in answers if published_too or not answer.query_set.published]
    for number, answer in enumerate(measured):
        for mode in modes_of(blend):
            answer.start(BLEND.name, mode)
        query_set = answer.query_set
        pairs = ReferencePairs.of(query_set.queries)
        queries_of = _queries_by_mode(evidence, query_set, pairs, vectors_of)
        row_in_set = {image_id: row for row, image_id in enumerate(query_set.gallery_ids)}
        for rows, gallery_ids in by_gallery(query_set):
            gallery_rows = [row_of[image_id] for image_id in gallery_ids]
            trained = {name: vectors.gallery_ND[gallery_rows] for name, vectors in vectors_of.items()}
            gallery = evidence.gallery(gallery_ids, trained)
            of_set = np.array([row_in_set[image_id] for image_id in gallery_ids] + [-1])
            for part in in_parts(len(rows)):
                own = rows[part]
                one = GalleryQueries(query_set, own, gallery_ids, answer.depth)
                of_pairs = {mode: queries.take(pairs.rows_of(own).tolist()) for mode, queries in queries_of.items()}
                for mode, score_QN in _scores(blend, gallery, [query_set.queries[row] for row in own], of_pairs):
                    answer.add(BLEND.name, mode, own, one.answer_scores(score_QN), of_set)
        progress("asking the blend", number + 1, len(measured))


def modes_of(blend: FittedBlend) -> list[str]:
    """Modes that the blend is asked in: those of every model, each channel alone, and without each one in use.

    A channel that had no scores when the weights were fitted has none here: all pictures would be equal to it.
    """
    used = [blend.names[number] for number in blend.used]
    scored = [blend.names[number] for number in blend.scored]
    return [*MODES, *(ALONE + name for name in scored), *(WITHOUT + name for name in used if len(used) > 1)]


def _queries_by_mode(
    evidence: Evidence, query_set: QuerySet, pairs: ReferencePairs, vectors_of: Mapping[str, ModelVectors]
) -> dict[str, ComposedQueries]:
    """By mode, all queries of a set, one for each pair: whole, without the text and without the picture."""
    texts = [query_set.queries[number].modified_text for number in pairs.query_P]
    references, without_text, without_picture = pairs.reference_ids, [""] * len(texts), [None] * len(texts)
    evidence.encode_captions([*references, *references, *without_picture], [*texts, *without_text, *texts])

    def queries(mode: str, own_references: Sequence[str | None], own_texts: Sequence[str]) -> ComposedQueries:
        trained = {name: vectors.queries[query_set.name][mode] for name, vectors in vectors_of.items()}
        return evidence.queries(own_references, own_texts, trained)

    return {
        "composed": queries("composed", references, texts),
        "image": queries("image", references, without_text),
        "text": queries("text", without_picture, texts),
    }


def _scores(
    blend: FittedBlend, gallery: Gallery, queries: Sequence[Query], queries_of: Mapping[str, ComposedQueries]
) -> Iterator[tuple[str, np.ndarray]]:
    """Mode → (Q, N) scores of some queries; ``queries_of`` has their pairs by mode."""
    pairs = ReferencePairs.of(queries)

    def total(mode: str) -> np.ndarray:
        return pairs.mean(blend.contributions(gallery, queries_of[mode]).sum(axis=1))

    image_QN, text_QN = total("image"), total("text")
    yield from (("image", image_QN), ("text", text_QN), ("sum", image_QN + text_QN))
    whole = queries_of["composed"]
    standard_PCN = blend.standard_scores(gallery, whole)
    parts = {
        number: pairs.mean(blend.blend.weight_of(number, gallery, whole) * standard_PCN[:, number])
        for number in blend.used
    }
    total_QN = np.sum(list(parts.values()), axis=0)
    yield "composed", total_QN
    for number in blend.scored:
        yield ALONE + blend.names[number], pairs.mean(standard_PCN[:, number])
    for number, part_QN in parts.items() if len(parts) > 1 else ():
        yield WITHOUT + blend.names[number], total_QN - part_QN
