"""Scaling positives and negatives for composed image retrieval (CIR).

The flow, one artefact per stage::

    images ──┬─► captions ────────────────────────┐
             ├─► image_embeddings ─┬─► splits ─┐  │      templates
             └─► annotations ──────┴───────────┴─► pairs ─► modified_texts ─► triplets
                                                                                │
       ┌──────────────────┬───────────────────────────┬─────────────────────────┤
       ▼                  ▼                           ▼                         ▼
    stage1_checkpoint ─► candidate_bank ─► stage2_checkpoint ◄─ false_negatives
       └─► control_checkpoint ──┐                     │
                                └─► blend ─► eval_report, search_index ◄┘

A *recipe* holds one table of settings per stage; a *stage* is a function of its table and its
parents' artefacts; an *artefact* is a folder with data and a ``summary.json``. ``flow.py`` lists the
stages, ``artifacts.py`` says how they are stored.

This package knows nothing of any orchestrator, and importing it loads neither torch nor transformers.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spn4cir_core.api import (
        current_artifact,
        load_recipe,
        open_encoder,
        open_searcher,
        open_store,
        read_table,
        read_vectors,
        run,
    )

# OpenMP threads that spin for long run about ten times slower beside another busy process, and those that sleep at once
# are woken at every layer of a small network: a training on two idle cores then takes as long as on one. This must be
# set before torch is imported, hence here.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
# Arrow's own pool keeps what is freed, 50 to 110 MB after some stages. This must be set before pyarrow is imported.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

__version__ = "0.1.0"

__all__ = [
    "current_artifact",
    "load_recipe",
    "open_encoder",
    "open_searcher",
    "open_store",
    "read_table",
    "read_vectors",
    "run",
]


def __getattr__(name: str) -> Any:
    """A function of the Python API; ``api.py`` is imported when the first one is used."""
    if name not in __all__:
        raise AttributeError(f"module 'spn4cir_core' has no attribute {name!r}")
    from spn4cir_core import api

    return getattr(api, name)
