"""Encodes reference images and modified texts, and candidate images, into one space. Written by spn4cir (MIT licence).

Needs torch, safetensors, numpy and Pillow, and the library of the model's tokenizer, where it has one.
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
        self._tokenize = tokenizer(about["text"], self.folder)
        self._weights = load_file(self.folder / "model.safetensors", device=device)
        self._graphs = runpy.run_path(str(self.folder / "encoders.py"))

    def encode_targets(self, images: Sequence[str | Path | Image.Image]) -> np.ndarray:
        """(N, D) vectors of N candidate images; (N, T, D) where a target has several."""
        parts = [images[start : start + BATCH_ROWS] for start in range(0, len(images), BATCH_ROWS)]
        shape = (0, self.dim) if self.target_tokens == 1 else (0, self.target_tokens, self.dim)
        return np.concatenate(
            [np.empty(shape, np.float32), *(self._run("target", self.pixels(part)) for part in parts)]
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
                inputs = [self.pixels(pictures)] if pictures else []
                inputs += [self.tokens([text for row in part if (text := texts[row])])] if "image" not in graph else []
                vectors_QD[part] = self._run(graph, *inputs)
        return vectors_QD

    def pixels(self, images: Sequence[str | Path | Image.Image]) -> torch.Tensor:
        """(B, 3, px, px) uint8 as the encoders read them."""
        read = FITS[self._picture["fit"]]
        as_stored = bool(self._picture.get("as_stored"))
        return torch.from_numpy(read([opened(image, as_stored) for image in images], self._picture["px"]))

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """(B, L) int64 token ids."""
        return self._tokenize(texts)

    def _run(self, graph: str, *inputs: torch.Tensor) -> np.ndarray:
        rows = len(inputs[0])
        most = [torch.cat([part, part[-1:]]) if rows < LEAST_ROWS else part for part in inputs]
        with torch.inference_mode():
            (vectors,) = self._graphs[graph](self._weights, self.device, *(part.to(self.device) for part in most))
        result: np.ndarray = vectors[:rows].float().cpu().numpy()
        return result


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
