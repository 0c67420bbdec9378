"""Settings of the ``search_index`` stage."""

from __future__ import annotations

from typing import Literal

from spn4cir_core.evaluation.index_settings import IndexSettings


class SearchSettings(IndexSettings):
    """What the index holds and how it is searched."""

    images: Literal["all", "evaluation", "train"] = "all"
    """Which split's images are found; ``all`` whatever their split."""
