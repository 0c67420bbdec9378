"""Features of each picture by towers that stage 1 freezes, computed once before the first step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spn4cir_core.backbones.base import Network
from spn4cir_core.engine.npy_rows import mapped_rows, scratch_file, write_rows
from spn4cir_core.engine.processes import Processes
from spn4cir_core.engine.progress import Progress
from spn4cir_core.errors import TrainingError
from spn4cir_core.models.devices import choose_device
from spn4cir_core.training.checkpoints import as_module

BATCH_ROWS = 64


def cached_features(
    network: Network, inputs: np.ndarray, folder: Path, device: str, progress: Progress, processes: Processes
) -> np.ndarray:
    """(N, …) features of N image inputs, mapped from a scratch file in ``folder`` that several processes share.

    They are stored in the network's ``features_dtype``.

    Raises:
        TrainingError: a feature is not finite in it.
    """
    import torch

    torch_device = choose_device(device)
    as_module(network).to(torch_device).eval()
    starts = [*processes.share(range(0, len(inputs), BATCH_ROWS))]
    with scratch_file(folder, processes) as file, torch.inference_mode():
        for done, start in enumerate(starts, start=1):
            batch = torch.from_numpy(np.ascontiguousarray(inputs[start : start + BATCH_ROWS])).to(torch_device)
            features = network.image_features(batch)
            assert features is not None, f"{type(network).__name__} says that it keeps features, and has none"
            block = features.to(getattr(torch, network.features_dtype)).cpu().numpy()
            if not np.isfinite(block).all():
                raise TrainingError(
                    f"the frozen towers give features that are not finite in {network.features_dtype}; set "
                    "stage1_checkpoint.keep_features = false"
                )
            write_rows(file.fileno(), len(inputs), start, block)
            progress("image features", min(done * BATCH_ROWS * processes.count, len(inputs)), len(inputs))
        processes.wait()
        rows = mapped_rows(file)
        processes.wait()
    return rows
