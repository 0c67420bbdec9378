"""The candidate bank: every candidate image embedded once by the target encoder of stage 1."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from spn4cir_core.backbones.base import Network
from spn4cir_core.engine.npy_rows import write_rows
from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.engine.stage import Work
from spn4cir_core.errors import TrainingError
from spn4cir_core.images.files import image_files
from spn4cir_core.models.devices import choose_device
from spn4cir_core.models.fixed_batches import in_parts
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.training.checkpoints import as_module, load_checkpoint
from spn4cir_core.training.image_inputs import image_inputs
from spn4cir_core.training.settings import BankInput
from spn4cir_core.triplets.triplet_tables import read_candidates

BATCH_ROWS = 128
BANK, REFERENCES = "bank.npy", "references.npy"


def embed_targets(
    network: Network, inputs: np.ndarray, device: str = "auto", progress: Progress = silent
) -> np.ndarray:
    """(N, D) float32 unit vectors of N image inputs by the target encoder; (N, T, D) where targets have T vectors."""
    one = (network.dim,) if network.target_tokens == 1 else (network.target_tokens, network.dim)
    vectors = np.empty((len(inputs), *one), np.float32)
    starts = range(0, len(inputs), BATCH_ROWS)
    for done, (start, block, _) in enumerate(_encode(network, inputs, starts, device), start=1):
        vectors[start : start + len(block)] = block
        progress("candidates", min(done * BATCH_ROWS, len(inputs)), len(inputs))
    return vectors


def open_references(bank: Artifact) -> np.ndarray | None:
    """(N, …) memory-mapped features of the candidates for stage 2, or None where the bank has none."""
    if REFERENCES not in bank.summary["files"]:
        return None
    features: np.ndarray = np.load(bank.file(REFERENCES), mmap_mode="r", allow_pickle=False)
    return features


def write_bank(work: Work[BankInput]) -> None:
    """Embed the candidate set with the frozen target encoder; one pass gives bank and reference features."""
    draft, settings, processes = work.draft, work.settings.candidate_bank, work.processes
    checkpoint = load_checkpoint(work.parents["stage1_checkpoint"])
    candidates = read_candidates(work.parents["triplets"], "image_id", "path", "pixel_sha256")
    inputs = image_inputs(
        checkpoint.backbone,
        checkpoint.network,
        candidates,
        image_files(work.settings.images, work.store),
        work.store,
        progress=work.progress,
        seconds=draft.seconds,
        processes=processes,
    )
    folder = Path(processes.gather(str(draft.path))[0])
    starts = processes.share(range(0, len(inputs), BATCH_ROWS))
    blocks = _encode(checkpoint.network, inputs, starts, "auto")
    shapes: dict[str, list[int]] = {}
    done = 0
    work.progress("candidates", 0, len(inputs))
    while True:
        with draft.timed("compute"):
            block = next(blocks, None)
        if block is None:
            break
        start, vectors, features = block
        arrays = {BANK: vectors}
        if features is not None and settings.reference_features:
            arrays[REFERENCES] = features
        with draft.timed("write"):
            for name, rows in arrays.items():
                _write(folder / name, len(inputs), start, _cast(rows, settings.dtype))
                shapes[name] = list(rows.shape[1:])
        done = min(done + processes.count * BATCH_ROWS, len(inputs))
        work.progress("candidates", done, len(inputs))
    draft.write_table(candidates.select(["image_id"]), "candidate_bank.parquet")
    draft.rows = len(inputs)
    draft.details |= {
        "candidates": len(inputs),
        "dim": checkpoint.network.dim,
        "target_tokens": checkpoint.network.target_tokens,
        "dtype": settings.dtype,
        "kept_per_image": shapes,
    }


def _encode(
    network: Network, inputs: np.ndarray, starts: Iterable[int], device: str
) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
    """Start, float32 target vectors and, where the network has some, features of each batch of inputs."""
    import torch

    torch_device = choose_device(device)
    as_module(network).to(torch_device).eval()

    for start in starts:
        batch = np.ascontiguousarray(inputs[start : start + BATCH_ROWS])

        def encoded(part: slice, batch: np.ndarray = batch) -> tuple[np.ndarray, np.ndarray | None]:
            images = torch.from_numpy(batch[part]).to(torch_device)
            features = network.image_features(images)
            vectors = network.encode_target(images if features is None else features).float().cpu().numpy()
            return vectors, None if features is None else features.float().cpu().numpy()

        vectors, features = zip(*in_parts(encoded, len(batch), str(torch_device)), strict=True)
        yield start, np.concatenate(vectors), None if features[0] is None else np.concatenate(features)


def _cast(block: np.ndarray, dtype: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = block.astype(dtype)
    if not np.isfinite(cast).all():
        raise TrainingError(
            f"the towers give vectors that are not finite in {dtype}; train stage 1 again, or set "
            'candidate_bank.dtype to "float32"'
        )
    return cast


def _write(path: Path, rows: int, start: int, block: np.ndarray) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        write_rows(file, rows, start, block)
    finally:
        os.close(file)
