"""Features of texts that a network's frozen text encoder gives: from the store, where each text has them once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from spn4cir_core.backbones.base import Network
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.models.text_features import text_features
from spn4cir_core.store.artifacts import Store


def remember_texts(
    network: Network,
    texts: Iterable[str],
    store: Store,
    *,
    progress: Progress = silent,
    seconds: defaultdict[str, float] | None = None,
    processes: Processes = ALONE,
) -> None:
    """Give the network what its frozen text encoder makes of these texts; nothing to do where it has none.

    Raises:
        InputError: the encoder cannot be loaded.
    """
    distinct = sorted(set(texts))
    if network.sentence_encoder is not None and distinct:
        vectors_TF = text_features(
            network.sentence_encoder, distinct, store, progress=progress, seconds=seconds, processes=processes
        )
        network.remember_texts(distinct, vectors_TF)
