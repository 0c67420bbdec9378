"""The candidate bank: every candidate image embedded once by the target encoder of stage 1."""

from __future__ import annotations

import numpy as np

from spn4cir_core.backbones.base import Network
from spn4cir_core.errors import TrainingError
from spn4cir_core.images.files import image_files
from spn4cir_core.progress import Progress, silent
from spn4cir_core.stage import Stage, Work
from spn4cir_core.training.checkpoints import as_module, load_checkpoint
from spn4cir_core.training.devices import choose_device
from spn4cir_core.training.image_inputs import image_inputs

BATCH_ROWS = 128


def embed_targets(
    network: Network, inputs: np.ndarray, device: str = "auto", progress: Progress = silent
) -> np.ndarray:
    """(N, D) float32 unit vectors of N image inputs by the target encoder."""
    import torch

    place = choose_device(device)
    as_module(network).to(place).eval()
    vectors = np.empty((len(inputs), network.dim), np.float32)
    with torch.inference_mode():
        for start in range(0, len(inputs), BATCH_ROWS):
            batch = torch.from_numpy(inputs[start : start + BATCH_ROWS]).to(place)
            vectors[start : start + BATCH_ROWS] = network.encode_target(batch).float().cpu().numpy()
            progress("candidates", min(start + BATCH_ROWS, len(inputs)), len(inputs))
    return vectors


def write_bank(work: Work) -> None:
    """Embed the candidate set with the frozen target encoder."""
    draft, settings = work.draft, work.recipe.candidate_bank
    checkpoint = load_checkpoint(work.parents["stage1_checkpoint"])
    candidates = work.parents["triplets"].table("candidates.parquet")
    files = image_files(work.recipe.images, work.store)
    inputs = image_inputs(
        checkpoint.backbone,
        checkpoint.network,
        candidates,
        files,
        work.store,
        progress=work.progress,
        seconds=draft.seconds,
    )
    with draft.timed("compute"):
        vectors_ND = embed_targets(checkpoint.network, inputs, progress=work.progress)
    if not np.isfinite(vectors_ND).all():
        raise TrainingError("the target encoder gives vectors that are no finite numbers; train stage 1 again")
    with draft.timed("write"):
        np.save(draft.file("bank.npy"), vectors_ND.astype(settings.dtype), allow_pickle=False)
        draft.write_table(candidates.select(["image_id"]), "candidate_bank.parquet")
    draft.rows = len(vectors_ND)
    draft.details |= {"candidates": len(vectors_ND), "dim": vectors_ND.shape[1], "dtype": settings.dtype}


CANDIDATE_BANK = Stage(
    name="candidate_bank",
    parents=("triplets", "stage1_checkpoint"),
    reads=("images", "candidate_bank"),
    version=1,
    write=write_bank,
)
