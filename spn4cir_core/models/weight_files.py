"""Weight files that a recipe names by path."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from spn4cir_core.errors import InputError
from spn4cir_core.store.fingerprints import file_sha256

if TYPE_CHECKING:
    import torch

NAMES_SHOWN = 4


def weights_sha256(path: Path) -> str:
    """Checksum of a file, read once per process while its time stays."""
    return _sha256(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _sha256(path: Path, mtime_ns: int) -> str:
    return file_sha256(path)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors or a torch file by name, floating ones as float32. Nothing else is unpickled.

    Raises:
        InputError: the file is damaged or holds something else than tensors by name.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            tensors = load_file(str(path))
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch meets damaged bytes with errors of many kinds; all mean the same here
        raise InputError(f"{path} is no weight file: {error}") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise InputError(f"{path} does not hold tensors by name; give the file with the plain state dict")
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def load_strictly(network: torch.nn.Module, weights: dict[str, torch.Tensor], what: str, path: Path) -> None:
    """Put the weights into a network (which may be on the meta device): every name and shape must agree.

    Raises:
        InputError: they do not; the message names the tensors.
    """
    wanted = network.state_dict()
    problems = {
        "missing": sorted(wanted.keys() - weights.keys()),
        "not known": sorted(weights.keys() - wanted.keys()),
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in weights and weights[name].shape != tensor.shape
        ],
    }
    summary = "; ".join(f"{len(names)} {kind}: {_some(names)}" for kind, names in problems.items() if names)
    if summary:
        raise InputError(f"{path} does not hold the weights of {what}: {summary}")
    network.load_state_dict(weights, strict=True, assign=True)


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (" …" if len(names) > NAMES_SHOWN else "")
