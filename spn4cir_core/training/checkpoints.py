"""Checkpoints: finished ones, and the state a killed training goes on from. Safetensors and JSON, no pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spn4cir_core.backbones.base import BACKBONES, Backbone, Network
from spn4cir_core.engine.plugins import as_table
from spn4cir_core.errors import Spn4cirError, StoreError, TrainingError
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.draft import Draft
from spn4cir_core.store.whole_file import read_json, whole_file, write_json
from spn4cir_core.training.roles import STAGE1, STAGE2, TRAINED, ModelRole

if TYPE_CHECKING:
    from torch import Tensor, nn

    from spn4cir_core.training.adamw import AdamW

WEIGHTS, NETWORK, METRICS = "model.safetensors", "network.json", "metrics.jsonl"
DESCRIBED = {"backbone", "backbone_fingerprint", "state", "temperature"}
"""What a network's description holds."""
RESUME, STATE, BEST, REFUSED = "resume", "state.safetensors", "best.safetensors", "refused_batch.json"
LAST = "last.safetensors"
TEMPERATURE = "log_temperature"
"""Key of the trained temperature in a saved state; the name is from the first version, which saved logarithms alone."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what it was trained with."""

    backbone: Backbone
    network: Network
    temperature: float


def as_module(network: Network) -> nn.Module:
    """The network as the torch module it must also be.

    Raises:
        TrainingError: it is none.
    """
    from torch import nn

    if not isinstance(network, nn.Module):
        raise TrainingError(f"{type(network).__name__} is no torch.nn.Module; a backbone's network must be one")
    return network


def same_networks(checkpoints: Mapping[str, Artifact]) -> dict[str, str]:
    """Each trained model's name → the name of the model that stands for its network, by what validation decided.

    A later stage that kept the weights it started from is stage 1's network. Stage 2 stands for it where it is the
    same, since that is what a search index holds.

    Args:
        checkpoints: by the names of their stages.
    """
    like_stage1 = [name for name, role in TRAINED.items() if name == STAGE1.name or _is_its_start(checkpoints, role)]
    first = STAGE2.name if STAGE2.name in like_stage1 else STAGE1.name
    return {name: first if name in like_stage1 else name for name in TRAINED}


def _is_its_start(checkpoints: Mapping[str, Artifact], role: ModelRole) -> bool:
    validation: Mapping[str, Any] = checkpoints[role.artifact].summary["details"].get("validation") or {}
    return validation.get("weights") == "start"


def load_network(artifact: Artifact) -> Network:
    """The trained network of a checkpoint artefact, on the CPU, in eval mode.

    Raises:
        StoreError: the weights do not belong to the network described beside them.
        TrainingError: the backbone's outside weights have changed since.
    """
    return load_checkpoint(artifact).network


def load_checkpoint(artifact: Artifact) -> Checkpoint:
    """The trained network, its backbone and its temperature; see :func:`load_network`."""
    return read_checkpoint(artifact.file(NETWORK), artifact.file(WEIGHTS), f"{artifact.noun} {artifact.fingerprint}")


def read_checkpoint(network_file: Path, weights_file: Path, name: str) -> Checkpoint:
    """The checkpoint in two files; ``name`` is what a message calls it. See :func:`load_network`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    described = read_json(network_file)
    if not (isinstance(described, dict) and described.keys() >= DESCRIBED and _is_number(described["temperature"])):
        raise StoreError(f"{network_file} does not describe a network: it needs {', '.join(sorted(DESCRIBED))}")
    backbone: Backbone = BACKBONES.build(described["backbone"])
    if backbone.restoring_fingerprint() != described["backbone_fingerprint"]:
        raise TrainingError(
            f"{name} was trained with a backbone {backbone.plugin_kind!r} "
            "whose weights have changed since; materialise stage1_checkpoint and what follows again"
        )
    network = _restored(backbone, described["state"], network_file)
    try:
        as_module(network).load_state_dict(load_file(weights_file), strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise StoreError(f"{weights_file} is not of the network in {NETWORK}: {error}") from error
    as_module(network).eval()
    return Checkpoint(backbone, network, float(described["temperature"]))


def _restored(backbone: Backbone, state: Any, network_file: Path) -> Network:
    try:
        return backbone.restore(state)
    except Spn4cirError:
        raise
    except Exception as error:  # each backbone meets a state that is none of its own in its own way
        raise StoreError(f"{network_file} does not describe a {backbone.plugin_kind!r} network: {error!r}") from error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class ResumedState:
    """The state of a killed training that :meth:`Resume.load` does not put back into its objects itself."""

    metrics: list[dict[str, Any]]
    """One line per step done."""
    extras: dict[str, dict[str, Tensor]]
    """Tensors of whatever else has a state, by its name."""


class Resume:
    """The state of a training under way, stored in the draft; removed when the artefact is published.

    Args:
        home: the folder of the draft that is published, where this process has another one (it may then only read).
    """

    def __init__(self, draft: Draft, home: Path | None = None) -> None:
        self.folder = (home or draft.path) / RESUME
        self.draft = draft

    def save(
        self,
        network: nn.Module,
        temperature: Tensor,
        optimiser: AdamW,
        metrics: list[dict[str, Any]],
        extras: Mapping[str, Mapping[str, Tensor]] | None = None,
    ) -> None:
        """Keep the state after as many steps as there are lines of metrics, whole or not at all.

        Args:
            temperature: the tensor that is trained, its logarithm or itself.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_metrics(metrics)
        tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
        tensors[TEMPERATURE] = temperature.detach()
        tensors |= {f"optimiser/{name}": tensor for name, tensor in optimiser.state().items()}
        for owner, state in (extras or {}).items():
            tensors |= {f"extra/{owner}/{name}": tensor for name, tensor in state.items()}
        with whole_file(self.folder / STATE) as scratch:
            _save(tensors, scratch, {"step": str(len(metrics))})

    def load(self, network: nn.Module, temperature: Tensor, optimiser: AdamW) -> ResumedState:
        """Put the saved state back, if there is one.

        Raises:
            StoreError: the saved state cannot be read.
        """
        import torch

        path = self.folder / STATE
        if not path.is_file():
            return ResumedState([], {})
        metadata, tensors = _read_tensors(path)
        network.load_state_dict(_below(tensors, "network/"))
        optimiser.restore(_below(tensors, "optimiser/"))
        with torch.no_grad():
            temperature.copy_(tensors[TEMPERATURE])
        extras: dict[str, dict[str, Tensor]] = {}
        for name, tensor in _below(tensors, "extra/").items():
            owner, _, own = name.partition("/")
            extras.setdefault(owner, {})[own] = tensor
        lines = read_lines(self.folder / METRICS)
        return ResumedState([line for line in lines if line["step"] <= int(metadata["step"])], extras)

    def save_best(self, network: nn.Module, temperature: float) -> None:
        """Keep these weights as the best so far."""
        self._save_weights(BEST, network, temperature)

    def save_last(self, network: nn.Module, temperature: float) -> None:
        """Keep these weights beside those that the checkpoint will hold."""
        self._save_weights(LAST, network, temperature)

    def _save_weights(self, name: str, network: nn.Module, temperature: float) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / name) as scratch:
            _save(network.state_dict(), scratch, {"temperature": repr(temperature)})

    def load_best(self, network: nn.Module) -> float:
        """Put back the best weights; their temperature."""
        metadata, tensors = _read_tensors(self.folder / BEST)
        network.load_state_dict(tensors)
        return float(metadata["temperature"])

    def refuse(self, batch: dict[str, Any]) -> Path:
        """Keep the batch that a training could not go on with, for a person to read; the file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / REFUSED, batch)
        return self.folder / REFUSED

    def finish(self, backbone: Backbone, network: Network, temperature: float, metrics: list[dict[str, Any]]) -> None:
        """Write the finished checkpoint into the draft and leave nothing else there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / WEIGHTS) as scratch:
            _save(as_module(network).state_dict(), scratch)
        described = {
            "backbone": as_table(backbone),
            "backbone_fingerprint": backbone.restoring_fingerprint(),
            "state": network.state(),
            "temperature": temperature,
        }
        write_json(self.folder / NETWORK, described)
        self._write_metrics(metrics)
        for name in (WEIGHTS, NETWORK, METRICS, LAST):
            if (self.folder / name).is_file():
                (self.folder / name).replace(self.draft.file(name))
        shutil.rmtree(self.folder)

    def _write_metrics(self, metrics: list[dict[str, Any]]) -> None:
        with whole_file(self.folder / METRICS) as scratch:
            scratch.write_text("".join(json.dumps(line) + "\n" for line in metrics), encoding="utf-8")


def _save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors; a full disk is an OSError here, as everywhere else."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}, path, metadata)
    except SafetensorError as error:
        raise OSError(f"{path}: {error}") from error


def _read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            return stored.metadata(), {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise StoreError(f"{path} is damaged ({error}). Delete {path.parent} and train again.") from error


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def read_metrics(artifact: Artifact) -> list[dict[str, Any]]:
    """The metrics of a checkpoint artefact, one dict per step."""
    return read_lines(artifact.file(METRICS))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl``.

    Raises:
        StoreError: a line is not a JSON object with its step.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged ({error}). Delete {path.parent} and run again.") from error
    if not all(isinstance(line, dict) and isinstance(line.get("step"), int) for line in lines):
        raise StoreError(f"{path} is damaged: a line has no step. Delete {path.parent} and run again.")
    return lines
