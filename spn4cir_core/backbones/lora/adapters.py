"""An encoder of sentence-transformers with low-rank adapters: which layers get one, and which adapter is at work."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from spn4cir_core.embeddings.sentence_transformers_encoder import SentenceTransformersEncoder
from spn4cir_core.errors import InputError, MissingExtra

TARGET, QUERY = "spn4cir_target", "spn4cir_query"
"""Names of the two adapters."""


class AdaptedEncoder:
    """A loaded model and its adapters. It is not a module: its own weights are trained by none and kept in none.

    Raises:
        InputError: the model cannot be loaded, or has no layer that takes an adapter.
        MissingExtra: peft is not installed.
    """

    def __init__(self, encoder: SentenceTransformersEncoder, rank: int, alpha: int, layers: Sequence[str]) -> None:
        self.settings = encoder
        self.model: Any = encoder.load().requires_grad_(False)
        self._network: Any = self.model.transformers_model
        self._names = [] if self._network is None else linear_layers(self._network, layers)
        self._rank, self._alpha = rank, alpha
        if not self._names:
            wanted = f"linear layer named {' or '.join(layers)}" if layers else "linear layer"
            raise InputError(
                f"backbone 'lora': {encoder.model} has no {wanted}, which an adapter needs; the backbone 'frozen' "
                "trains heads on any encoder"
            )

    def add(self, adapter: str) -> nn.ParameterDict:
        """Put an adapter into the layers; its parameters by name, as a part of a network."""
        try:
            from peft import LoraConfig
            from peft.functional import inject_adapter_in_model
        except ImportError as error:
            raise MissingExtra("peft", "lora") from error
        config = LoraConfig(r=self._rank, lora_alpha=self._alpha, lora_dropout=0.0, target_modules=self._names)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Already found a `peft_config`")  # there are to be two
            inject_adapter_in_model(config, self._network, adapter)
        self.model.eval()
        held = ((name.split("."), parameter) for name, parameter in self._network.named_parameters())
        return nn.ParameterDict({"/".join(parts): parameter for parts, parameter in held if adapter in parts})

    def use(self, adapter: str) -> None:
        """Let this adapter alone take part from now on. What is trained stays as it is."""
        from peft.functional import set_adapter

        trained = {parameter: parameter.requires_grad for parameter in self._network.parameters()}
        set_adapter(self._network, adapter)
        for parameter, is_trained in trained.items():
            parameter.requires_grad_(is_trained)

    def merged(self, adapter: str) -> Any:
        """A model of its own whose weights hold the adapter's change: ``W + (alpha / rank) · B A``."""
        model = self.settings.load()
        with torch.no_grad():
            for name in self._names:
                layer = model.transformers_model.get_submodule(name)
                layer.weight += self._network.get_submodule(name).get_delta_weight(adapter).to(layer.weight)
        return model

    def vectors(self, inputs: Sequence[Any], prompt: str, device: torch.device) -> Tensor:
        """(B, D) vectors, with gradients, of B texts, pictures, or dicts of both."""
        features: Mapping[str, Any] = self.model.preprocess(list(inputs), prompt=prompt or None)
        moved = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in features.items()}
        rounded = self.settings.dtype != "float32"
        with torch.autocast(device.type, getattr(torch, self.settings.dtype)) if rounded else nullcontext():
            vectors_BD: Tensor = self.model(moved)["sentence_embedding"]
        return vectors_BD[:, : self.settings.dimensions].float()


def linear_layers(model: nn.Module, layers: Sequence[str]) -> list[str]:
    """Names of the linear layers whose last part is among ``layers``, of all where there are none.

    Those inside torch's own attention are left out: it reads their weights past any adapter.
    """
    inside = tuple(
        f"{name}." for name, part in model.named_modules() if isinstance(part, nn.MultiheadAttention) and name
    )
    return [
        name
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear) and not name.startswith(inside)
        if not layers or name.rpartition(".")[2] in layers
    ]
