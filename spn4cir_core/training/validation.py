"""Recall on held-out triplets of the validation split while training goes on; never on what is reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.annotations.annotation_tables import read_annotated_triplets
from spn4cir_core.backbones.base import Network
from spn4cir_core.errors import InputError
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.training.embed_candidates import embed_targets
from spn4cir_core.training.settings import ValidationSettings

if TYPE_CHECKING:
    import torch

KS = (1, 5, 10)
RECALLS = tuple(f"validation_recall_at_{k}" for k in KS)
QUERIES_AT_ONCE = 128


@dataclass(frozen=True)
class ValidationQueries:
    """Q queries over a gallery of G images."""

    gallery: pa.Table
    """Columns ``path`` and ``pixel_sha256``."""
    references: np.ndarray
    """Gallery row of each reference image; it is left out of its query's ranking."""
    targets: np.ndarray
    """Gallery row of each target."""
    texts: list[str]


@dataclass(frozen=True)
class Validation:
    """The queries, and what the network reads of the gallery's images."""

    settings: ValidationSettings
    queries: ValidationQueries
    inputs: np.ndarray
    """(G, …) image inputs."""
    kept_gallery: dict[str, torch.Tensor] | None = None
    """Where the target encoder is frozen: holds the gallery's vectors once they have been embedded."""

    def recalls(
        self, network: Network, device: torch.device, encoders: AbstractContextManager[Any]
    ) -> dict[str, float]:
        """Recall@k by the network as it is, which must be in eval mode on that device."""
        import torch

        asked = self.queries
        ranks = []
        with torch.inference_mode(), encoders:
            gallery = self._gallery(network, device)
            tokens = network.tokenize(asked.texts)
            for start in range(0, len(asked.texts), QUERIES_AT_ONCE):
                rows = slice(start, start + QUERIES_AT_ONCE)
                images = torch.from_numpy(self.inputs[asked.references[rows]]).to(device)
                queries_QD = network.encode_query(images, tokens[rows].to(device)).float()
                ranks.append(ranks_of(queries_QD, gallery, asked.targets[rows], asked.references[rows]))
        ranks_Q = np.concatenate(ranks)
        return {name: float((ranks_Q < k).mean()) for name, k in zip(RECALLS, KS, strict=True)}

    def _gallery(self, network: Network, device: torch.device) -> torch.Tensor:
        import torch

        kept = self.kept_gallery if self.kept_gallery is not None else {}
        if "vectors" not in kept:
            kept["vectors"] = torch.from_numpy(embed_targets(network, self.inputs, str(device))).to(device)
        return kept["vectors"]

    def headline(self, metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """For the details of the checkpoint: the start (step 0), the best validated step and the last one."""
        said = {"start": metrics[0], "best": best_line(metrics), "last": metrics[-1]}
        return {
            "queries": len(self.queries.texts),
            "gallery": len(self.queries.gallery),
            "kept": self.settings.keep,
            **{f"{name}_step": line["step"] for name, line in said.items() if line},
            **{name: {recall: line.get(recall) for recall in RECALLS} for name, line in said.items() if line},
        }


def ranks_of(queries_QD: torch.Tensor, gallery: torch.Tensor, targets: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """(Q,) rank of each target from 0; of the images that tie with it half stand before it, rounded up.

    Args:
        gallery: (G, D), or (G, T, D) where an image has T vectors.
        removed: (Q,) gallery row that is not in the query's ranking.
    """
    import torch

    from spn4cir_core.objectives.similarity import similarities

    with torch.autocast(queries_QD.device.type, enabled=False):
        scores_QG = similarities(queries_QD, gallery)
    rows_Q = torch.arange(len(queries_QD), device=scores_QG.device)
    own_Q1 = scores_QG[rows_Q, torch.from_numpy(targets).to(scores_QG.device)][:, None]
    scores_QG[rows_Q, torch.from_numpy(removed).to(scores_QG.device)] = -torch.inf
    before_Q = (scores_QG > own_Q1).sum(dim=1)
    ties_Q = (scores_QG == own_Q1).sum(dim=1) - 1
    ranks: np.ndarray = (before_Q + (ties_Q + 1) // 2).cpu().numpy()
    return ranks


def score_of(line: Mapping[str, Any]) -> float | None:
    """The mean of the recalls of one line of the metrics: what ``keep = "best"`` compares; None: not validated."""
    recalls = [float(line[name]) for name in RECALLS if name in line]
    return sum(recalls) / len(recalls) if recalls else None


def best_line(metrics: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The validated step with the highest score, the earliest of equal ones."""
    scored = [(score, line) for line in metrics if (score := score_of(line)) is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def out_of_patience(metrics: Sequence[Mapping[str, Any]], patience: int | None) -> bool:
    """Whether the last ``patience`` validations were all no better than one before them."""
    steps = [int(line["step"]) for line in metrics if score_of(line) is not None]
    best = best_line(metrics)
    return (
        patience is not None and best is not None and len([step for step in steps if step > best["step"]]) >= patience
    )


def read_validation(
    settings: ValidationSettings, triplets: Artifact, ancestors: Mapping[str, Artifact], seed: int
) -> ValidationQueries:
    """Generated triplets of the validation split, and annotated ones whose two images are in it.

    Each is asked with its first text; a seeded sample where there are more than ``max_queries``.

    Raises:
        InputError: the validation split holds no triplet.
        StoreError: the artefacts the triplets were made of have been deleted.
    """
    images = read_manifest(ancestors["images"], *PICTURE)
    splits = ancestors["splits"].table(columns=["image_id", "split"])
    split_of = dict(zip(splits["image_id"].to_pylist(), splits["split"].to_pylist(), strict=True))
    wanted = ("train", "validation") if settings.gallery == "training_too" else ("validation",)
    held_out = pa.array([split_of.get(image) in wanted for image in images["image_id"].to_pylist()], pa.bool_())
    gallery = images.filter(held_out)
    row_of = {image: row for row, image in enumerate(gallery["image_id"].to_pylist())}
    rows = _generated(triplets) if "generated" in settings.origins else []
    if "annotated" in settings.origins:
        rows += _annotated(ancestors["annotations"], split_of)
    if not rows:
        raise InputError(
            f"validation.every_steps = {settings.every_steps}, but there is no {' or '.join(settings.origins)} triplet "
            "in the validation split. Raise [splits] validation_share (pictures whose split the corpus asks for itself "
            "have no part in it), or leave validation.every_steps out"
        )
    if len(rows) > settings.max_queries:
        picked = np.random.default_rng(seed).choice(len(rows), settings.max_queries, replace=False)
        rows = [rows[number] for number in sorted(picked)]
    references, targets, texts = zip(*rows, strict=True)
    return ValidationQueries(
        gallery=gallery,
        references=np.array([row_of[image] for image in references]),
        targets=np.array([row_of[image] for image in targets]),
        texts=list(texts),
    )


def _generated(triplets: Artifact) -> list[tuple[str, str, str]]:
    table = triplets.table(columns=["triplet_id", "reference_id", "target_id", "modified_texts", "split"])
    rows = table.filter(pc.equal(table["split"], "validation")).sort_by("triplet_id").to_pylist()
    return [(row["reference_id"], row["target_id"], row["modified_texts"][0]) for row in rows if row["modified_texts"]]


def _annotated(annotations: Artifact, split_of: Mapping[str, str]) -> list[tuple[str, str, str]]:
    table = read_annotated_triplets(annotations, "annotation_id", "reference_id", "target_id", "modified_text")
    rows = table.sort_by("annotation_id").to_pylist()
    return [
        (row["reference_id"], row["target_id"], row["modified_text"])
        for row in rows
        if split_of.get(row["reference_id"]) == split_of.get(row["target_id"]) == "validation"
        and row["reference_id"] != row["target_id"]
        and row["modified_text"].strip()
    ]
