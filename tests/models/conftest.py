"""The pictures and small models that captioners are tested with."""

from __future__ import annotations

from tests.captions.conftest import pictures, small_model, small_models

__all__ = ["pictures", "small_model", "small_models"]
