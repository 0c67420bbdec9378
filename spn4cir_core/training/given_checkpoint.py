"""A stage 1 that starts from a checkpoint somebody gives: a published file, or the folder of one of our artefacts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spn4cir_core.backbones.base import Backbone, Network
from spn4cir_core.backbones.published import load_published
from spn4cir_core.errors import InputError
from spn4cir_core.models.weight_files import weights_sha256
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.training.checkpoints import NETWORK, WEIGHTS, read_checkpoint


def given_network(path: Path, backbone: Backbone, texts: Sequence[str], seed: int) -> tuple[Network, dict[str, Any]]:
    """The network of a given checkpoint, and for the summary where it comes from and what became of its tensors.

    Raises:
        InputError: nothing usable is there, or it is of another backbone.
        StoreError: a folder's weights do not belong to the network described beside them.
    """
    if not path.is_dir():
        network, account = load_published(path, backbone, texts, seed)
        return network, {"file": path.name, **account.details()}
    checkpoint = read_checkpoint(_whole(path) / NETWORK, path / WEIGHTS, f"the checkpoint {path}")
    if checkpoint.backbone.restoring_fingerprint() != backbone.restoring_fingerprint():
        raise InputError(
            f"start_from: {path} holds a backbone {checkpoint.backbone!r}, the recipe asks for {backbone!r}; "
            "give the recipe the same settings"
        )
    return checkpoint.network, {"folder": path.name}


def given_fingerprint(path: Path) -> str:
    """Hash of a given checkpoint's bytes.

    Raises:
        InputError: nothing usable is there.
    """
    if path.is_dir():
        return fingerprint({name: weights_sha256(_whole(path) / name) for name in (NETWORK, WEIGHTS)})
    if not path.is_file():
        raise InputError(f"start_from: no checkpoint file or folder at {path}")
    return weights_sha256(path)


def _whole(path: Path) -> Path:
    for name in (NETWORK, WEIGHTS):
        if not (path / name).is_file():
            raise InputError(f"start_from: {path} is no checkpoint folder; it has no {name}")
    return path
