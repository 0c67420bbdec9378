"""Sentence vectors by a frozen text encoder.

The MiniLM that comes as a package, any encoder of transformers, or any model of sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import override

from spn4cir_core.engine.plugins import Settings
from spn4cir_core.engine.progress import without_loading_bar
from spn4cir_core.errors import InputError
from spn4cir_core.models.fewer_rows import FewerRows
from spn4cir_core.models.fixed_batches import side_by_side, torch_device
from spn4cir_core.models.minilm import WIDTH, MiniLm, MiniLmTokenizer, minilm_folder
from spn4cir_core.models.model_source import ModelSource, find_model, missing_model
from spn4cir_core.models.precision import Precision, precision_of
from spn4cir_core.models.sentence_transformers_model import encoded_rows, load_sentence_transformers
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint, OmitFromFingerprint, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

MINILM = "builtin:minilm"
EncodeTokens = Callable[[Sequence[Sequence[int]]], np.ndarray]
"""From the token ids of N texts to (N, W) unit vectors."""
Hidden = Callable[["Tensor", "Tensor"], "Tensor"]
"""From (B, P) token ids and their mask to (B, P, W) features of the last layer."""
BATCH_ROWS, LENGTH_STEP = 16, 8
"""A batch has so many rows, and a length that is a multiple of so many tokens."""
POOLER = "pooler."
"""Weights of a head that sentence vectors do not pass; checkpoints may lack it."""


class SentenceEncoder(Settings):
    """Maps texts to unit vectors whose cosine says how alike they are in meaning."""

    model: str = MINILM
    """``builtin:minilm``, a folder (safetensors), or a hub id ``owner/name``."""
    revision: str = "main"
    """Revision of a hub id. Pin a commit: ``main`` may change without notice."""
    library: Annotated[Literal["transformers", "sentence_transformers"], OmitDefaultFromFingerprint()] = "transformers"
    """What loads the model. ``sentence_transformers`` takes pooling, further layers and the longest text from the
    model's own folder, as its authors meant it, and computes in float32; ``pooling``, ``max_tokens`` and ``precision``
    are then not read."""
    prompt: Annotated[str, OmitDefaultFromFingerprint()] = ""
    """Instruction before every text; with ``library = "sentence_transformers"``."""
    dimensions: Annotated[int | None, OmitDefaultFromFingerprint()] = Field(default=None, ge=1)
    """Only the first so many numbers of a vector, for models trained for that (Matryoshka); with the same library."""
    pooling: Literal["mean", "first"] = "mean"
    """The mean of the last layer's tokens, or the first token (as BGE has it)."""
    max_tokens: int = Field(default=128, ge=8)
    """Longer texts are cut."""
    precision: Annotated[Precision, OmitFromFingerprint()] = "auto"
    """What the network computes in; :meth:`fingerprint` holds what it comes to."""
    device: Annotated[str, OmitFromFingerprint()] = "auto"

    @model_validator(mode="after")
    def _is_read_by_its_library(self) -> Self:
        if self.library == "transformers" and (self.prompt or self.dimensions is not None):
            raise ValueError('prompt and dimensions need library = "sentence_transformers"')
        return self

    @override
    def extras(self) -> tuple[str, ...]:
        needed = {"offline": self.model == MINILM, "sentence": self.library == "sentence_transformers"}
        return tuple(extra for extra, is_needed in needed.items() if is_needed)

    @override
    def missing(self) -> Iterable[str]:
        return () if self.model == MINILM else missing_model(self.model, self.revision)

    def fingerprint(self) -> str:
        """Hash of weights, settings, and what is computed in.

        Raises:
            InputError: the model is not there.
            MissingExtra: MiniLM's package is not installed.
        """
        if self.library == "sentence_transformers":
            deciding = {"library": self.library, "prompt": self.prompt, "dimensions": self.dimensions}
            return fingerprint({**deciding, "weights": self.source().tree_fingerprint})
        deciding = {"pooling": self.pooling, "max_tokens": self.max_tokens, "weights": self.source().fingerprint}
        return fingerprint({**deciding, "precision": precision_of(self.precision), "length_step": LENGTH_STEP})

    def start(self) -> Callable[[Sequence[str]], np.ndarray]:
        """Load the model and return the function from B texts to (B, D) float32 unit vectors.

        Row i does not depend on the other texts.

        Raises:
            InputError: the model cannot be loaded, or its checkpoint lacks weights.
        """
        if self.library == "sentence_transformers":
            return self._of_sentence_transformers()
        tokenize, encode = _loaded(self._on_a_device(), self.source().state)
        return lambda texts: encode(tokenize(texts) if texts else [])

    def start_with_tokens(self) -> EncodeTokens:
        """As :meth:`start`, of texts that are token ids already, special tokens included."""
        return _loaded(self._on_a_device(), self.source().state)[1]

    def _of_sentence_transformers(self) -> Callable[[Sequence[str]], np.ndarray]:
        import torch

        model = _loaded_by_sentence_transformers(self._on_a_device(), self.fingerprint())

        def encode(texts: Sequence[str]) -> np.ndarray:
            vectors_BD = torch.from_numpy(encoded_rows(model, list(texts), self.prompt, self.device))
            unit_BD: np.ndarray = torch.nn.functional.normalize(vectors_BD, dim=-1).numpy()
            return unit_BD

        return lambda texts: encode(texts) if texts else np.zeros((0, model.get_embedding_dimension()), np.float32)

    def _on_a_device(self) -> SentenceEncoder:
        return self.model_copy(update={"device": torch_device(self.device)})

    def _token_encoder(self, hidden: Hidden, width: int) -> EncodeTokens:
        """Batches have a fixed number of rows, and a length that hangs on the text alone: equal texts, equal bytes."""
        import torch

        kind, is_rounded = torch.device(self.device).type, precision_of(self.precision) == "bfloat16"
        of_fewer_rows = FewerRows(BATCH_ROWS)

        def one_batch(rows: Sequence[Sequence[int]]) -> np.ndarray:
            return of_fewer_rows(self._padded(rows[0]), len(rows), partial(computed, rows))

        def computed(rows: Sequence[Sequence[int]], batch_rows: int) -> np.ndarray:
            tokens_BP = torch.zeros((batch_rows, self._padded(rows[0])), dtype=torch.int64)
            mask_BP = torch.zeros_like(tokens_BP)
            for row in range(len(tokens_BP)):
                ids = rows[min(row, len(rows) - 1)]
                tokens_BP[row, : len(ids)] = torch.tensor(ids)
                mask_BP[row, : len(ids)] = 1
            tokens_BP, mask_BP = tokens_BP.to(self.device), mask_BP.to(self.device)
            with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=is_rounded):
                hidden_BPW = hidden(tokens_BP, mask_BP).float()
            mean_BW = (hidden_BPW * mask_BP[:, :, None]).sum(1) / mask_BP.sum(1)[:, None]
            pooled_BW = mean_BW if self.pooling == "mean" else hidden_BPW[:, 0]
            vectors_BW: np.ndarray = torch.nn.functional.normalize(pooled_BW, dim=-1)[: len(rows)].cpu().numpy()
            return vectors_BW

        def encode(rows: Sequence[Sequence[int]]) -> np.ndarray:
            batches = self._batches(rows)
            parts = side_by_side(lambda batch: one_batch([rows[row] for row in batch]), batches, self.device)
            vectors_ND = np.zeros((len(rows), width), np.float32)
            for batch, part in zip(batches, parts, strict=True):
                vectors_ND[batch] = part
            return vectors_ND

        return encode

    def _batches(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        """Numbers of rows of equal padded length, at most ``BATCH_ROWS`` at a time."""
        order = sorted(range(len(rows)), key=lambda row: self._padded(rows[row]))
        return [
            same_length[start : start + BATCH_ROWS]
            for same_length in (list(group) for _, group in groupby(order, lambda row: self._padded(rows[row])))
            for start in range(0, len(same_length), BATCH_ROWS)
        ]

    def _padded(self, row: Sequence[int]) -> int:
        return min(-(-len(row) // LENGTH_STEP) * LENGTH_STEP, max(self.max_tokens, len(row)))

    def source(self) -> ModelSource:
        """Where the model comes from.

        Raises:
            InputError: the model is not there.
            MissingExtra: MiniLM's package is not installed.
        """
        if self.model == MINILM:
            folder = minilm_folder()
            return ModelSource(str(folder), "", folder)
        return find_model(self.model, self.revision)


@lru_cache(2)
def _loaded(
    encoder: SentenceEncoder, state: tuple[object, ...]
) -> tuple[Callable[[Sequence[str]], list[list[int]]], EncodeTokens]:
    """Tokenizer and token encoder, loaded once a process; ``state`` tells changed files apart."""
    import torch

    dtype = torch.bfloat16 if precision_of(encoder.precision) == "bfloat16" else torch.float32
    if encoder.model == MINILM:
        return (
            MiniLmTokenizer(encoder.max_tokens).ids,
            encoder._token_encoder(MiniLm(encoder.device, dtype), WIDTH),
        )
    tokenizer, model = _load(encoder.source())
    model.eval().to(encoder.device)
    for part in model.modules():
        if isinstance(part, torch.nn.Linear):
            part.to(dtype)  # as autocast does at every call

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=encoder.max_tokens)["input_ids"]
        return ids

    def hidden(tokens_BP: Tensor, mask_BP: Tensor) -> Tensor:
        hidden_BPW: Tensor = model(input_ids=tokens_BP, attention_mask=mask_BP)[0]
        return hidden_BPW

    return tokenize, encoder._token_encoder(hidden, model.config.hidden_size)


@lru_cache(2)
def _loaded_by_sentence_transformers(encoder: SentenceEncoder, weights: str) -> Any:
    """Loaded once a process; ``weights`` tells changed files apart."""
    return load_sentence_transformers(
        "SentenceTransformer", "sentence encoder", encoder.source(), encoder.device, truncate_dim=encoder.dimensions
    )


def _load(source: ModelSource) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    where: dict[str, Any] = {"local_files_only": True} if source.folder else {"revision": source.revision}
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source.name, **where)
        with without_loading_bar():
            loaded: Any = AutoModel.from_pretrained(
                source.name, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **where
            )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"cannot load the sentence encoder {source.name}: {error}") from error
    model, loading_info = loaded
    missing = sorted(name for name in loading_info["missing_keys"] if POOLER not in name)
    if missing:
        raise InputError(
            f"the sentence encoder {source.name} lacks weights: {', '.join(missing[:3])} "
            f"({len(missing)} in all); give an encoder's checkpoint, such as sentence-transformers/all-MiniLM-L6-v2"
        )
    return tokenizer, model
