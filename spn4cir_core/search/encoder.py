"""Pictures and texts in, unit vectors out: the queries and targets of a trained network, for any index."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ListedPicture, Picture, as_picture
from spn4cir_core.models.devices import choose_device
from spn4cir_core.models.fixed_batches import in_parts
from spn4cir_core.search.recent_inputs import RecentInputs
from spn4cir_core.training.checkpoints import as_module

if TYPE_CHECKING:
    from torch import Tensor

    from spn4cir_core.backbones.base import Network

BATCH_ROWS = 64
ROWS_OF_A_THREAD = 16
"""On a CPU each part of a batch is encoded by one thread: libraries' last bits depend on the number of threads."""
Made = Literal["composed", "sum"]
"""How image and text become one query: composed by the network, or the unit-normalised sum of the two alone."""
Query = tuple[Picture | None, str]
"""A reference image and a modified text; either may be missing, not both."""


class Encoder:
    """Encodes queries and targets into one space; the score of a target is its cosine with the query, from −1 to 1.

    D is the network's embedding size, :attr:`dim`. All vectors are float32 and of length 1, so that the inner product
    is the cosine. Open one with :func:`spn4cir_core.open_encoder`.
    """

    def __init__(self, network: Network, device: str = "cpu") -> None:
        self._network, self._device = network, choose_device(device)
        as_module(network).to(self._device)
        self._recent = RecentInputs(network.read_images)

    @property
    def dim(self) -> int:
        """D: numbers in a vector."""
        return self._network.dim

    @property
    def target_tokens(self) -> int:
        """T: vectors that one target has; above 1 its score is the highest of T cosines (backbone ``sprc``: 32)."""
        return self._network.target_tokens

    def unread(self, text: str | None) -> str:
        """A message with the numbers of tokens where the network cuts a text; empty where it reads the whole."""
        count, limit = self._network.token_counts([text])[0] if text else 0, self._network.token_limit
        if count <= limit:
            return ""
        return f"the text has {count} tokens, of which the model reads the first {limit}: its end is not searched for"

    def has_word(self, word: str) -> bool:
        """Whether the vocabulary has a word whole; others are read by their parts, or not at all."""
        return self._network.has_word(word)

    def encode_queries(
        self,
        images: Picture | Sequence[Picture | None] | None,
        texts: str | Sequence[str | None] | None = None,
        made: Made = "composed",
    ) -> np.ndarray:
        """(Q, D) float32 unit vectors of Q queries.

        Args:
            images: the reference images: paths, PIL pictures or (H, W, 3) uint8 arrays. A single one, or None, is used
                with every text.
            texts: the modified texts. A single one, or None, is used with every image. A query without a text asks
                for pictures like its reference; one without an image is a text search.
            made: ``composed``: by the network's composer; ``sum``: the sum of the vectors of image and text alone,
                divided by its length.

        Raises:
            InputError: a query has neither image nor text, the two lists differ in length, or a picture cannot be read.
        """
        queries = pair_up(images, texts)
        vectors_QD = np.empty((len(queries), self.dim), np.float32)
        for rows in _alike(queries):
            pictures = [queries[row][0] for row in rows]
            given = [picture for picture in pictures if picture is not None]
            listed = [picture if isinstance(picture, ListedPicture) else as_picture(picture) for picture in given]
            images_B = self._inputs(self._recent, listed)
            texts_B = [queries[row][1] for row in rows if queries[row][1]]
            vectors_QD[rows] = self._query(images_B, self._tokens(texts_B), made)
        return vectors_QD

    def encode_targets(self, images: Picture | Sequence[Picture], progress: Progress = silent) -> np.ndarray:
        """(N, D) float32 unit vectors of N candidate images; (N, T, D) where :attr:`target_tokens` T is above 1.

        Args:
            images: paths, PIL pictures or (H, W, 3) uint8 arrays. Pictures are read in batches of 64, so a long list
                of paths needs little memory.
            progress: called after each batch as ``progress("targets", done, total)``.

        Raises:
            InputError: a picture cannot be read.
        """
        given = several(images)
        pictures: list[Any] = [images] if given is None else given
        one = (self.dim,) if self.target_tokens == 1 else (self.target_tokens, self.dim)
        vectors = np.empty((len(pictures), *one), np.float32)
        for start in range(0, len(pictures), BATCH_ROWS):
            opened = [as_picture(picture) for picture in pictures[start : start + BATCH_ROWS]]
            images_B = self._inputs(self._network.read_images, opened)
            assert images_B is not None
            vectors[start : start + BATCH_ROWS] = self._vectors(self._network.encode_target, images_B)
            progress("targets", min(start + BATCH_ROWS, len(pictures)), len(pictures))
        return vectors

    def _vectors(self, encode: Callable[..., Tensor], *inputs: Tensor | None) -> np.ndarray:
        """Of B rows of each input; None for an input that is missing."""
        rows = next(len(given) for given in inputs if given is not None)

        def encoded(part: slice) -> np.ndarray:
            own = (None if given is None else given[part] for given in inputs)
            vectors: np.ndarray = encode(*own).float().cpu().numpy()
            return vectors

        return np.concatenate(in_parts(encoded, rows, str(self._device), ROWS_OF_A_THREAD))

    def _inputs(self, read: Callable[[Sequence[Any]], np.ndarray], pictures: Sequence[Any]) -> Tensor | None:
        import torch

        return torch.from_numpy(read(pictures)).to(self._device) if pictures else None

    def _tokens(self, texts: Sequence[str]) -> Tensor | None:
        return self._network.tokenize(texts).to(self._device) if texts else None

    def _query(self, images_B: Tensor | None, tokens_B: Tensor | None, made: Made) -> np.ndarray:
        both = images_B is not None and tokens_B is not None
        parts = [(images_B, None), (None, tokens_B)] if made == "sum" and both else [(images_B, tokens_B)]
        vectors = [self._vectors(self._network.encode_query, *part) for part in parts]
        total_BD: np.ndarray = np.sum(vectors, axis=0)
        return total_BD if len(parts) == 1 else total_BD / np.maximum(np.linalg.norm(total_BD, axis=1)[:, None], 1e-12)


def pair_up(images: Picture | Sequence[Picture | None] | None, texts: str | Sequence[str | None] | None) -> list[Query]:
    """The queries that images and texts make together; see :meth:`Encoder.encode_queries`.

    Raises:
        InputError: the two lists differ in length, or a query has neither image nor text.
    """
    pictures, words = several(images), several(texts)
    if pictures is not None and words is not None and len(pictures) != len(words):
        raise InputError(f"{len(pictures)} images and {len(words)} texts: give as many of each, or one for all")
    listed = next((given for given in (pictures, words) if given is not None), None)
    count = 1 if listed is None else len(listed)
    paired = zip(pictures or [images] * count, words or [texts] * count, strict=True) if count else ()
    queries: list[Query] = [(picture, (text or "").strip()) for picture, text in paired]
    for number, (picture, text) in enumerate(queries):
        if picture is None and not text:
            where = f"query {number}: " if count > 1 else ""
            raise InputError(f"{where}a search needs a reference image, a text, or both")
    return queries


def several(given: Any) -> list[Any] | None:
    """A list of pictures or texts, or an array (N, H, W, 3); None where one was given, or nothing."""
    is_one = isinstance(given, str | Path | Image.Image | ListedPicture) or (
        isinstance(given, np.ndarray) and given.ndim < 4
    )
    return None if given is None or is_one else list(given)


def shares(weights: Sequence[float], count: int) -> np.ndarray:
    """(R,) float32 shares of ``count`` reference images that add up to 1; equal ones where there are no weights.

    Raises:
        InputError: there are not as many weights as reference images, or one is not a number above 0.
    """
    given = [float(weight) for weight in weights] or [1.0] * count
    if len(given) != count:
        raise InputError(f"{len(given)} weights for {count} reference images: give one for each, or none")
    if not all(0 < weight < 1e6 for weight in given):
        raise InputError(f"weights {given}: each must be a number above 0 and below a million")
    share_R: np.ndarray = np.array(given) / sum(given)
    return share_R.astype(np.float32)


def _alike(queries: Sequence[Query]) -> Iterator[list[int]]:
    """Batches of rows that all have an image or all have none, and likewise a text."""
    rows_of: defaultdict[tuple[bool, bool], list[int]] = defaultdict(list)
    for row, (picture, text) in enumerate(queries):
        rows_of[picture is not None, bool(text)].append(row)
    for rows in rows_of.values():
        yield from (rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS))
