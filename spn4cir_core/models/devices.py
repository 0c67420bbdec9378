"""Where a training stage computes, and with how many threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spn4cir_core.errors import RecipeError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """The device a setting names; ``auto`` takes a GPU where there is one.

    Raises:
        RecipeError: the name is no device, or the device is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RecipeError(f"device = {name!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return device
