"""The blend, each channel alone and the blend without each channel, measured on the models' queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from spn4cir_core.blend.evidence import Evidence
from spn4cir_core.blend.fitted import FittedBlend, in_parts
from spn4cir_core.channels.base import Gallery
from spn4cir_core.engine.progress import Progress
from spn4cir_core.evaluation.base import QuerySet
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
        _encode_captions(evidence, query_set)
        row_in_set = {image_id: row for row, image_id in enumerate(query_set.gallery_ids)}
        for rows, gallery_ids in by_gallery(query_set):
            gallery_rows = [row_of[image_id] for image_id in gallery_ids]
            trained = {name: vectors.gallery_ND[gallery_rows] for name, vectors in vectors_of.items()}
            gallery = evidence.gallery(gallery_ids, trained)
            of_set = np.array([row_in_set[image_id] for image_id in gallery_ids] + [-1])
            for part in in_parts(len(rows)):
                own = rows[part]
                one = GalleryQueries(query_set, own, gallery_ids, answer.depth)
                for mode, score_QN in _scores(blend, evidence, gallery, answer, vectors_of, own):
                    answer.add(BLEND.name, mode, own, one.answer_scores(score_QN), of_set)
        progress("asking the blend", number + 1, len(measured))


def modes_of(blend: FittedBlend) -> list[str]:
    """Modes that the blend is asked in: those of every model, each channel alone, and without each one in use.

    A channel that had no scores when the weights were fitted has none here: all pictures would be equal to it.
    """
    used = [blend.names[number] for number in blend.used]
    scored = [blend.names[number] for number in blend.scored]
    return [*MODES, *(ALONE + name for name in scored), *(WITHOUT + name for name in used if len(used) > 1)]


def _encode_captions(evidence: Evidence, query_set: QuerySet) -> None:
    """Encode what all queries of a set need, whole, without the text and without the picture."""
    pairs = ReferencePairs.of(query_set.queries)
    texts = [query_set.queries[number].modified_text for number in pairs.query_P]
    without_text, without_picture = [""] * len(texts), [None] * len(texts)
    references = [*pairs.reference_ids, *pairs.reference_ids, *without_picture]
    evidence.encode_captions(references, [*texts, *without_text, *texts])


def _scores(
    blend: FittedBlend,
    evidence: Evidence,
    gallery: Gallery,
    answer: Answers,
    vectors_of: Mapping[str, ModelVectors],
    rows: Sequence[int],
) -> Iterator[tuple[str, np.ndarray]]:
    """Mode → (Q, N) scores of some queries."""
    queries = [answer.query_set.queries[row] for row in rows]
    pairs, pair_rows = ReferencePairs.of(queries), ReferencePairs.of(answer.query_set.queries).rows_of(rows)
    references, texts = pairs.reference_ids, [queries[number].modified_text for number in pairs.query_P]

    def encoded(mode: str) -> dict[str, np.ndarray]:
        return {name: vectors.queries[answer.query_set.name][mode][pair_rows] for name, vectors in vectors_of.items()}

    def total(mode: str, own_references: Sequence[str | None], own_texts: Sequence[str]) -> np.ndarray:
        composed = evidence.queries(own_references, own_texts, encoded(mode))
        return pairs.mean(blend.contributions(gallery, composed).sum(axis=1))

    image_QN = total("image", references, [""] * len(references))
    text_QN = total("text", [None] * len(references), texts)
    yield from (("image", image_QN), ("text", text_QN), ("sum", image_QN + text_QN))
    whole = evidence.queries(references, texts, encoded("composed"))
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
