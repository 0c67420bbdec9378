"""Paths that come from data never leave their root."""

from __future__ import annotations

from pathlib import Path

from spn4cir_core.errors import InputError


def inside(path: Path, root: Path) -> Path:
    """The path itself, if it stays below the root once links and ``..`` are followed.

    Raises:
        InputError: it leads out of the root, or cannot be followed.
    """
    try:
        stays = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # link loops, NUL characters
        raise InputError(f"{path} cannot be used: {error}") from error
    if not stays:
        raise InputError(f"{path} leads out of {root}; put the file itself there, or name its folder in the recipe")
    return path
