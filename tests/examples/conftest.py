"""The pictures that captioners are tested with."""

from __future__ import annotations

from tests.captions.conftest import pictures

__all__ = ["pictures"]
