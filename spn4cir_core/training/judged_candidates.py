"""The hardest candidates of each training triplet, and a reranker's scores of them, before stage 2."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from spn4cir_core.backbones.base import Network
from spn4cir_core.engine.processes import Processes
from spn4cir_core.engine.progress import Progress
from spn4cir_core.errors import RecipeError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.devices import choose_device
from spn4cir_core.objectives.base import Objective
from spn4cir_core.reranking.base import Reranker
from spn4cir_core.reranking.stored_scores import ToScore, stored_scores
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.checkpoints import as_module
from spn4cir_core.training.training import JudgedCandidates
from spn4cir_core.training.triplet_batches import FalseNegatives, TrainingTriplets

BATCH_ROWS = 128


def reranker_of(objective: Objective) -> Reranker | None:
    """The reranker whose scores the objective reads; None where it reads none.

    Raises:
        RecipeError: it names several that are not equal.
    """
    if any(reranker != objective.rerankers[0] for reranker in objective.rerankers):
        raise RecipeError("a mixture can hold one reranker: two parts of kind 'judged_labels' name different ones")
    return objective.rerankers[0] if objective.rerankers else None


def judged_candidates(
    reranker: Reranker,
    triplets: TrainingTriplets,
    rows_TK: np.ndarray,
    files: ImageFiles,
    store: Store,
    *,
    progress: Progress,
    seconds: defaultdict[str, float],
    processes: Processes,
) -> JudgedCandidates:
    """The candidates of each triplet with the reranker's scores of its first text.

    Args:
        rows_TK: see :func:`hardest_candidates`.

    Raises:
        InputError: the reranker's model cannot be used, or a reference image cannot be read.
    """
    pictures = list(zip(*(triplets.candidates[name].to_pylist() for name in ("path", "pixel_sha256")), strict=True))
    queries = [
        ToScore(texts[0], (pictures[reference],), tuple(pictures[row] for row in (target, *rows_K[rows_K >= 0])))
        for texts, reference, target, rows_K in zip(
            triplets.texts, triplets.references, triplets.targets, rows_TK, strict=True
        )
    ]
    scores_TL = np.full((len(rows_TK), 1 + rows_TK.shape[1]), np.nan, np.float32)
    for scores_L, scored in zip(
        scores_TL, stored_scores(reranker, queries, files, store, progress, seconds, processes), strict=True
    ):
        if scored is not None:
            scores_L[: len(scored.scores)] = [np.nan if score is None else score for score in scored.scores]
    return JudgedCandidates(np.maximum(rows_TK, 0), scores_TL)


def hardest_candidates(
    network: Network,
    triplets: TrainingTriplets,
    inputs: np.ndarray,
    bank_ND: np.ndarray,
    false_negatives: FalseNegatives,
    count: int,
    device: str,
) -> np.ndarray:
    """(T, K) candidate rows of each triplet's first text, hardest first, without its target and false negatives.

    Rows of −1 come last, where a triplet has fewer than K.

    Args:
        inputs: (N, …) image inputs or features of the candidates.
        bank_ND: (N, D) or (N, T, D) vectors of the candidates.
    """
    import torch

    from spn4cir_core.objectives.hard_rows import hard_rows

    torch_device = choose_device(device)
    as_module(network).to(torch_device).eval()
    bank, blocks = torch.from_numpy(bank_ND), []
    tokens_TL = network.tokenize([texts[0] for texts in triplets.texts])
    with torch.inference_mode():
        for start in range(0, len(triplets.ids), BATCH_ROWS):
            rows_B = np.arange(start, min(start + BATCH_ROWS, len(triplets.ids)))
            images = torch.from_numpy(inputs[triplets.references[rows_B]]).to(torch_device)
            queries_BD = network.encode_query(images, tokens_TL[rows_B].to(torch_device)).float()
            targets_B2 = np.stack([np.arange(len(rows_B)), triplets.targets[rows_B]], axis=1)
            excluded_M2 = torch.from_numpy(np.concatenate([false_negatives.pairs(rows_B), targets_B2])).to(torch_device)
            rows_BK, live_BK = hard_rows(queries_BD, bank, count, excluded_M2)
            blocks.append(rows_BK.masked_fill(~live_BK, -1).cpu().numpy())
    return np.concatenate(blocks)
