"""Weight files that a recipe names by path."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spn4cir_core.errors import InputError
from spn4cir_core.store.fingerprints import file_sha256

if TYPE_CHECKING:
    import torch

NAMES_SHOWN = 4
PARALLEL, COMPILED = "module.", "_orig_mod."
_REFUSED = re.compile(r"(?:GLOBAL|[Uu]nsupported (?:global|class|type)|Trying to \w+ \w+ of type) '?([\w.]+)")
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*m")


def weights_sha256(path: Path) -> str:
    """Checksum of a file, read once per process while its size and time stay: a 7B model has 14 GB."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    return file_sha256(path)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors or a torch file by name, floating ones as float32. Nothing else is unpickled.

    Raises:
        InputError: the file is damaged or holds something else than tensors by name.
    """
    import torch

    tensors = read_weight_file(path)
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise InputError(f"{path} does not hold tensors by name; give the file with the plain state dict")
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def read_weight_file(path: Path) -> Any:
    """The content of a safetensors file, or of a torch file of tensors, plain values and numpy's scalars.

    Nothing else is unpickled: an object that would execute code when it is made is refused.

    Raises:
        InputError: the file is damaged, or holds such an object; the message names its class.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(str(path))
        with torch.serialization.safe_globals(_numpy_scalars()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        refused = _REFUSED.search(str(error))
        if refused is None:
            raise InputError(f"{path} is no weight file: it is damaged, or was not written by torch.save") from error
        raise InputError(
            f"{path} holds more than weights: {refused[1]!r}, and reading that would execute code from the file. "
            "Ask for a file that holds the state dict alone"
        ) from error
    except Exception as error:  # torch meets damaged bytes with errors of many kinds; all mean the same here
        reason = _TERMINAL_CODES.sub("", str(error)).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path} is no weight file: {reason}") from error


def plain_names(tensors: Mapping[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """The tensors without what wrappers add to names: ``module.`` (DataParallel), ``_orig_mod.`` (``torch.compile``).

    Raises:
        InputError: two tensors have one name then.
    """
    wrapped = all(name.replace(COMPILED, "").startswith(PARALLEL) for name in tensors)
    plain: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        bare = name.replace(COMPILED, "").removeprefix(PARALLEL if wrapped else "")
        if bare in plain:
            raise InputError(f"{path} holds the tensor {bare!r} twice, once as {name!r}; save one model's state dict")
        plain[bare] = tensor
    return plain


def _numpy_scalars() -> list[Any]:
    """What a pickle of a numpy scalar (a loss, a recall beside the weights) calls, under numpy 1's and 2's names."""
    import numpy as np
    from numpy.dtypes import BoolDType, Float16DType, Float32DType, Float64DType, Int32DType, Int64DType

    scalar: Any = np.float64(0).__reduce__()[0]
    dtypes = [BoolDType, Float16DType, Float32DType, Float64DType, Int32DType, Int64DType]
    names = [f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")]
    return [*((scalar, name) for name in names), np.dtype, *dtypes]


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
