"""A reranker without a language model: the reference's title, edited by the text, compared with each candidate.

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


def _each_picture_once(encode: Callable[[Sequence[Image.Image]], np.ndarray]) -> Callable[..., np.ndarray]:
    """The encoder with a memory: lists of candidates repeat the pictures of a corpus."""
    known: dict[bytes, np.ndarray] = {}

    def vectors(pictures: Sequence[Image.Image]) -> np.ndarray:
        keys = [hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).digest() for picture in pictures]
        new = {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in known}
        known.update(zip(new, encode(list(new.values())) if new else (), strict=True))
        return np.stack([known[key] for key in keys])

    return vectors


def _unit(vectors: np.ndarray) -> np.ndarray:
    rows: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return rows
