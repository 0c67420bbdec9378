"""Rerankers without a language model: the reference's title, edited by the text, compared with each candidate.

PYTHONPATH=. and in a recipe:

    [rerank]
    kind = "examples.train_small_clip.reranker:EditedTitle"
    titles = "shop/metadata.csv"
    encoder = { kind = "sentence_transformers", model = "./encoder" }

The title is the one of a training picture that fits the reference best, as an encoder of pictures and texts sees it;
rules edit it (:func:`~spn4cir_core.texts.caption_editor.edit_caption`). So CIReVL goes (Karthik et al. 2024), with a
captioner and a language model in their stead.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field
from typing_extensions import override

from spn4cir_core.embeddings.base import IMAGE_ENCODERS, ImageEncoder
from spn4cir_core.engine.plugins import Choice
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reranking.base import Reranker, Score, Shortlist
from spn4cir_core.store.fingerprints import file_sha256, fingerprint
from spn4cir_core.texts.caption_editor import edit_caption


class EditedTitle(Reranker):
    """Cosine of a candidate with ``edited title + picture_weight · reference image``, all unit vectors."""

    plugin_kind: ClassVar[str] = "examples.train_small_clip.reranker:EditedTitle"
    encoder: Annotated[ImageEncoder, Choice(IMAGE_ENCODERS)]
    """One that reads texts."""
    titles: str
    """A table with the columns ``title`` and ``keep_in``; titles of evaluation pictures are not read."""
    picture_weight: float = Field(default=1.0, ge=0)

    @property
    @override
    def picture_px(self) -> int:
        return 448

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        own = {"titles": file_sha256(Path(self.titles)), "picture_weight": self.picture_weight}
        return fingerprint({"kind": self.plugin_kind, "encoder": self.encoder.fingerprint(), **own})

    @override
    def start(self, files: ImageFiles) -> Callable[[Shortlist], Sequence[Score]]:
        of_pictures, of_texts = _each_picture_once(self.encoder.start()), self.encoder.start_texts()
        with Path(self.titles).open(encoding="utf-8", newline="") as rows:
            titles = sorted({row["title"] for row in csv.DictReader(rows) if row.get("keep_in") != "evaluation"} - {""})
        titles_TD = _unit(of_texts(titles))

        def scores(shortlist: Shortlist) -> list[Score]:
            reference_D = _unit(_unit(of_pictures(shortlist.references)).mean(0))
            title = titles[int((titles_TD @ reference_D).argmax())]
            edited_D = _unit(of_texts([edit_caption(title, shortlist.text).caption])[0])
            candidates_ND = _unit(of_pictures(shortlist.candidates))
            return [float(score) for score in candidates_ND @ (edited_D + self.picture_weight * reference_D)]

        return scores


class KnownTitle(Reranker):
    """Words that a candidate's own title shares with the edited title of the reference: ``2 |A ∩ B| / (|A| + |B|)``.

    For the soft labels of ``judged_labels``, where candidates are titled pictures of the training split: it looks up
    the title of a picture by its pixels, and gives none of the others a score.
    """

    plugin_kind: ClassVar[str] = "examples.train_small_clip.reranker:KnownTitle"
    titles: str
    """A table beside the pictures with the columns ``file``, ``title``, ``keep_in``; evaluation is not read."""

    @property
    @override
    def picture_px(self) -> int:
        """Larger pictures would be shrunk, and not be known again."""
        return 4096

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        return fingerprint({"kind": self.plugin_kind, "titles": file_sha256(Path(self.titles))})

    @override
    def start(self, files: ImageFiles) -> Callable[[Shortlist], Sequence[Score]]:
        with Path(self.titles).open(encoding="utf-8", newline="") as rows:
            used = [row for row in csv.DictReader(rows) if row.get("keep_in") != "evaluation" and row["title"]]
        title_of = {_content(files.open(row["file"]).convert("RGB")): row["title"] for row in used}

        def scores(shortlist: Shortlist) -> list[Score]:
            reference = title_of.get(_content(shortlist.references[0]))
            wanted = words_of(edit_caption(reference, shortlist.text).caption) if reference else set()
            titles = [title_of.get(_content(candidate), "") for candidate in shortlist.candidates]
            return [_shared(wanted, words_of(title)) if wanted and title else None for title in titles]

        return scores


def words_of(title: str) -> set[str]:
    """The words without case and marks."""
    return set(title.lower().replace(",", " ").split())


def _shared(one: set[str], other: set[str]) -> float:
    return 2 * len(one & other) / (len(one) + len(other))


def _content(picture: Image.Image) -> bytes:
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).digest()


def _each_picture_once(encode: Callable[[Sequence[Image.Image]], np.ndarray]) -> Callable[..., np.ndarray]:
    """The encoder with a memory: lists of candidates repeat the pictures of a corpus."""
    known: dict[bytes, np.ndarray] = {}

    def vectors(pictures: Sequence[Image.Image]) -> np.ndarray:
        keys = [_content(picture) for picture in pictures]
        new = {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in known}
        known.update(zip(new, encode(list(new.values())) if new else (), strict=True))
        return np.stack([known[key] for key in keys])

    return vectors


def _unit(vectors: np.ndarray) -> np.ndarray:
    rows: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return rows
