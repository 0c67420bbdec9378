"""Encodes reference images and modified texts, and candidate images, into one space. Written by spn4cir (MIT licence).

Needs torch, safetensors, numpy and Pillow, and the library of the model's tokenizer, where it has one; where
``model.json`` has an ``encoder``, sentence-transformers.
"""

from __future__ import annotations

import json
import runpy
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from spn4cir_core.backbones.blip_tokens import BertTokens, without_punctuation
from spn4cir_core.backbones.byte_tokens import cut_text
from spn4cir_core.backbones.clip_towers import Tokenizer
from spn4cir_core.backbones.pixels import centre_squares, target_padded_squares
from spn4cir_core.backbones.small.words import WordTokens
from spn4cir_core.images.files import upright_rgb
from spn4cir_core.models.lite0_levels import largest_square

BATCH_ROWS = 32
LEAST_ROWS = 2
"""Graphs are recorded for batches of two or more."""


class ComposedEncoder:
    """A trained model. D dimensions; T vectors a target, mostly 1. All vectors are float32 and of length 1.

    The score of a target for a query is their inner product; of a target with T vectors the highest of T.
    """

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        from safetensors.torch import load_file

        self.folder, self.device = Path(folder), device
        about = json.loads((self.folder / "model.json").read_text(encoding="utf-8"))
        self.dim, self.target_tokens = int(about["dim"]), int(about["target_tokens"])
        self._picture: dict[str, Any] = about["picture"]
        self._encoder = LibraryEncoder(self.folder, about["encoder"], device) if "encoder" in about else None
        self._tokenize = None if self._encoder else tokenizer(about["text"], self.folder)
        self._weights = load_file(self.folder / "model.safetensors", device=device)
        self._graphs = runpy.run_path(str(self.folder / "encoders.py"))

    def encode_targets(self, images: Sequence[str | Path | Image.Image]) -> np.ndarray:
        """(N, D) vectors of N candidate images; (N, T, D) where a target has several."""
        parts = [images[start : start + BATCH_ROWS] for start in range(0, len(images), BATCH_ROWS)]
        shape = (0, self.dim) if self.target_tokens == 1 else (0, self.target_tokens, self.dim)
        return np.concatenate(
            [np.empty(shape, np.float32), *(self._run("target", self._pictures(part, "target")) for part in parts)]
        )

    def encode_queries(
        self, images: Sequence[str | Path | Image.Image | None], texts: Sequence[str | None]
    ) -> np.ndarray:
        """(Q, D) vectors of Q queries: reference images and modified texts, of which one may be None."""
        rows_of: defaultdict[str, list[int]] = defaultdict(list)
        for row, (image, text) in enumerate(zip(images, texts, strict=True)):
            if image is None and not text:
                raise ValueError(f"query {row} has neither image nor text")
            rows_of["query" if image and text else "query_of_image" if image else "query_of_text"].append(row)
        vectors_QD = np.empty((len(images), self.dim), np.float32)
        for graph, rows in rows_of.items():
            for part in (rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS)):
                pictures = [image for row in part if (image := images[row]) is not None]
                words = [text for row in part if (text := texts[row])] if "image" not in graph else []
                vectors_QD[part] = self._queries(graph, pictures, words)
        return vectors_QD

    def _queries(self, graph: str, images: Sequence[str | Path | Image.Image], texts: Sequence[str]) -> np.ndarray:
        if self._encoder and self._encoder.reads_both and graph == "query":
            return self._run("target", self._encoder.of_both(self._squares(images), texts))
        inputs = [self._pictures(images, "query")] if images else []
        return self._run(graph, *inputs, *([self.tokens(texts)] if texts else []))

    def _pictures(self, images: Sequence[str | Path | Image.Image], side: str) -> torch.Tensor:
        """What the graphs read of pictures: pixels, or vectors of the library's model that reads this side."""
        return self._encoder.of_pictures(self._squares(images), side) if self._encoder else self.pixels(images)

    def _squares(self, images: Sequence[str | Path | Image.Image]) -> list[Image.Image]:
        """Pictures as the library's model gets them."""
        if self._picture["fit"] == "whole":
            return [opened(image, False) for image in images]
        return [Image.fromarray(one) for one in self.pixels(images).permute(0, 2, 3, 1).numpy()]

    def pixels(self, images: Sequence[str | Path | Image.Image]) -> torch.Tensor:
        """(B, 3, px, px) uint8 as the encoders read them."""
        read = FITS[self._picture["fit"]]
        as_stored = bool(self._picture.get("as_stored"))
        return torch.from_numpy(read([opened(image, as_stored) for image in images], self._picture["px"]))

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """(B, L) int64 token ids, or (B, D) vectors of the library's model."""
        if self._encoder:
            return self._encoder.of_texts(texts)
        assert self._tokenize is not None
        return self._tokenize(texts)

    def _run(self, graph: str, *inputs: torch.Tensor) -> np.ndarray:
        rows = len(inputs[0])
        most = [torch.cat([part, part[-1:]]) if rows < LEAST_ROWS else part for part in inputs]
        with torch.inference_mode():
            (vectors,) = self._graphs[graph](self._weights, self.device, *(part.to(self.device) for part in most))
        result: np.ndarray = vectors[:rows].float().cpu().numpy()
        return result


class LibraryEncoder:
    """The models of sentence-transformers that read pictures and texts before the graphs; vectors are of length 1."""

    def __init__(self, folder: Path, settings: dict[str, Any], device: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._settings = settings
        self.reads_both = bool(settings["together"])
        given: dict[str, Any] = {"device": device, "local_files_only": True, "truncate_dim": settings["dimensions"]}
        weights = {"dtype": torch.float32, "use_safetensors": True}
        folders = {settings["target"], settings["query"]}
        models = {name: SentenceTransformer(str(folder / name), model_kwargs=weights, **given) for name in folders}
        self._models = {side: models[settings[side]] for side in ("target", "query")}

    def of_pictures(self, images: Sequence[Image.Image], side: str) -> torch.Tensor:
        """(B, D) vectors of pictures for the side ``target`` or ``query``."""
        return self._vectors(side, list(images), "prompt")

    def of_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """(B, D) vectors of modified texts."""
        return self._vectors("query", [cut_text(text) for text in texts], "query_prompt")

    def of_both(self, images: Sequence[Image.Image], texts: Sequence[str]) -> torch.Tensor:
        """(B, D) vectors of queries that the model reads in one."""
        both = [{"image": image, "text": cut_text(text)} for image, text in zip(images, texts, strict=True)]
        return self._vectors("query", both, "query_prompt")

    def _vectors(self, side: str, inputs: list[Any], prompt: str) -> torch.Tensor:
        vectors_BD = self._models[side].encode(inputs, prompt=self._settings[prompt] or None, show_progress_bar=False)
        return torch.nn.functional.normalize(torch.as_tensor(vectors_BD, dtype=torch.float32), dim=-1)


def opened(image: str | Path | Image.Image, as_stored: bool) -> Image.Image:
    """A picture upright, sRGB, without transparency; ``as_stored``: as the file has it."""
    if not isinstance(image, Image.Image):
        with Image.open(image) as file:
            file.load()
            return file.copy() if as_stored else upright_rgb(file)
    return image if as_stored else upright_rgb(image)


def squeezed(images: Sequence[Image.Image], size_px: int) -> np.ndarray:
    """(B, 3, size_px, size_px) uint8: the whole picture, whatever its shape."""
    squares = [np.asarray(image.resize((size_px, size_px), Image.Resampling.BICUBIC), np.uint8) for image in images]
    return np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2))


FITS: dict[str, Callable[[Sequence[Image.Image], int], np.ndarray]] = {
    "squeeze": squeezed,
    "square": lambda images, size_px: squeezed([largest_square(image) for image in images], size_px),
    "clip": centre_squares,
    "target_pad": target_padded_squares,
}


def tokenizer(text: dict[str, Any], folder: Path) -> Callable[[Sequence[str]], torch.Tensor]:
    """From B texts to (B, L) token ids."""
    if text["tokenizer"] == "words":
        return WordTokens(text["vocabulary"]).ids
    if text["tokenizer"] == "clip":
        clip = Tokenizer(text)
        return lambda texts: clip(texts, text.get("length"))
    bert = BertTokens((folder / "tokenizer.json").read_text(encoding="utf-8"), text["limit"])
    if most := text.get("most_words"):
        return lambda texts: bert.ids([without_punctuation(one, most) for one in texts])
    return bert.ids
