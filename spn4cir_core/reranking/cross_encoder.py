"""Reranker: a multimodal cross-encoder of sentence-transformers, which reads query and candidate in one (pointwise)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.fixed_batches import Dtype, torch_device
from spn4cir_core.models.model_source import find_model, missing_model
from spn4cir_core.models.sentence_transformers_model import load_sentence_transformers, rows_at_once
from spn4cir_core.reranking.base import Reranker, Score, Shortlist
from spn4cir_core.store.fingerprints import OmitFromFingerprint, fingerprint

log = logging.getLogger(__name__)


class MultimodalCrossEncoder(Reranker):
    """What ``CrossEncoder(…)`` loads and reads pictures: Qwen3-VL-Reranker, jina-reranker-m0.

    The query is the reference images and the modified text, the document is the candidate's picture.
    """

    plugin_kind: ClassVar[str] = "cross_encoder"
    model: str
    """A folder (safetensors), or a hub id ``owner/name``."""
    revision: str = "main"
    """Of a hub id. Pin a commit: what ``main`` names may change unseen."""
    prompt: str = ""
    """Instruction that goes with every pair; for models that take one."""
    side_px: int = Field(default=448, ge=16, le=4096)
    """Pictures are made to fit into a square of this size before the model's own processor gets them."""
    dtype: Dtype = "float32"
    """What the network computes in; weights stay float32."""
    device: Annotated[str, OmitFromFingerprint()] = "auto"

    @property
    @override
    def picture_px(self) -> int:
        return self.side_px

    @override
    def extras(self) -> tuple[str, ...]:
        return ("sentence",)

    @override
    def missing(self) -> Iterable[str]:
        return missing_model(self.model, self.revision)

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        settings = {"side_px": self.side_px, "prompt": self.prompt, "dtype": self.dtype}
        weights = find_model(self.model, self.revision).tree_fingerprint
        return fingerprint({"kind": self.plugin_kind, **settings, "weights": weights})

    @override
    def start(self, files: ImageFiles) -> Callable[[Shortlist], Sequence[Score]]:
        """See the base class.

        Raises:
            InputError: the model cannot be loaded, or does not read a picture and a text in one.
        """
        source = find_model(self.model, self.revision)
        model = load_sentence_transformers("CrossEncoder", "reranker", source, self.device)
        if not model.supports("image") or not model.supports(("image", "text")):
            raise InputError(
                f"reranker: {self.model} reads {', '.join(map(str, model.modalities))}, and not a picture and a text "
                "in one; take a multimodal reranker"
            )
        rows = rows_at_once(self.device)

        def scores(shortlist: Shortlist) -> list[Score]:
            pictures: Any = shortlist.references if len(shortlist.references) > 1 else shortlist.references[0]
            query = {"image": pictures, "text": shortlist.text}
            pairs = [(query, {"image": candidate}) for candidate in shortlist.candidates]
            parts = [pairs[start : start + rows] for start in range(0, len(pairs), rows)]
            return [score for part in parts for score in self._predicted(model, part, rows)]

        return scores

    def _predicted(self, model: Any, pairs: list[Any], rows: int) -> list[Score]:
        """Scores of some pairs; None for one that the model's processor refuses."""
        import torch

        device = torch.device(torch_device(self.device)).type
        try:
            with torch.autocast(device, getattr(torch, self.dtype), enabled=self.dtype != "float32"):
                predicted = model.predict(
                    pairs,
                    prompt=self.prompt or None,
                    batch_size=rows,
                    show_progress_bar=False,
                    activation_fn=torch.nn.Identity(),  # a sigmoid rounds high scores to one and the same
                    convert_to_tensor=True,
                )
        except (ArithmeticError, ValueError) as error:
            if len(pairs) > 1:
                return [score for pair in pairs for score in self._predicted(model, [pair], rows)]
            log.warning("%s refuses a candidate: %s", self.model, error)
            return [None]
        if predicted.ndim != 1:
            raise InputError(
                f"reranker: {self.model} gives {predicted.shape[-1]} numbers for a pair, where one score is expected"
            )
        numbers: list[Score] = predicted.float().cpu().tolist()
        return numbers
