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


def place_bank(bank: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The bank on a GPU that has room to spare for it, else where it is (memory-mapped, streamed block by block)."""
    import torch

    if device.type != "cuda":
        return bank
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return bank.to(device) if bank.numel() * bank.element_size() < free_bytes // 2 else bank
