"""Encoders as functions of tensor operations alone: torch records them, and they are written as Python source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from spn4cir_core.errors import InputError
from spn4cir_core.training.checkpoints import as_module

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from spn4cir_core.backbones.base import ExportedInputs, Network

EXAMPLE_TEXTS = ("make it red", "the same without a collar, and longer", "blue", "with two buttons", "a dress")
PREAMBLE = '''"""Encoders as tensor operations, recorded by torch.export; ``weights`` are those of model.safetensors."""

import math
import operator
from math import inf, nan

import torch

'''
KNOWN_TO_SOURCE = {"torch", "device", "inf", "nan", "math", "operator", "NoneType", "fx_pytree", "pytree"}
"""Names that recorded code may use; torch lists the last three for all code."""
CHECKS = ("_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size")
"""Operations that compute nothing; the first one names the device that the graph was recorded on."""


@dataclass(frozen=True)
class EncoderGraph:
    """One encoder: from (B, 3, px, px) uint8 pixels, (B, L) int64 tokens, or both, to vectors.

    Of a network behind a library's encoder both are that encoder's (B, D) vectors.
    """

    name: str
    program: ExportedProgram
    source: str
    """A function ``name(weights, device, …)``."""
    weights: Mapping[str, Tensor]
    """What the function reads, by name."""
    inputs: Mapping[str, Tensor]
    """Those that it was recorded with."""


def record_encoders(network: Network, inputs: ExportedInputs) -> dict[str, EncoderGraph]:
    """The graphs ``target``, ``query``, ``query_of_image`` and ``query_of_text``.

    Raises:
        InputError: an encoder cannot be recorded.
    """
    trunk = inputs.trunk or (lambda pixels: pixels)
    both = _examples(network, inputs)
    network = network if inputs.encoder is None else inputs.encoder.network
    functions: dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {
        "target": (lambda pixels: network.encode_target(trunk(pixels)), ("pixels",)),
        "query": (lambda pixels, tokens: network.encode_query(trunk(pixels), tokens), ("pixels", "tokens")),
        "query_of_image": (lambda pixels: network.encode_query(trunk(pixels), None), ("pixels",)),
        "query_of_text": (lambda tokens: network.encode_query(None, tokens), ("tokens",)),
    }
    fixed_length = "length" in inputs.text or inputs.encoder is not None
    return {
        name: _recorded(name, _ENCODERS[read](network, function), {one: both[one] for one in read}, fixed_length)
        for name, (function, read) in functions.items()
    }


def _examples(network: Network, inputs: ExportedInputs) -> dict[str, Tensor]:
    """What the graphs are recorded with: pixels and tokens of some texts, or unit vectors in place of both."""
    texts = [*EXAMPLE_TEXTS, " ".join((inputs.text.get("vocabulary", ["red"]) * 8)[:8])]
    rows, generator = len(texts), torch.Generator().manual_seed(0)
    if inputs.encoder is not None:
        drawn_2BD = torch.randn(2, rows, inputs.encoder.dim, generator=generator)
        pictures_BD, texts_BD = torch.nn.functional.normalize(drawn_2BD, dim=-1)
        return {"pixels": pictures_BD, "tokens": texts_BD}
    px = int(inputs.picture["px"])
    pixels = torch.randint(0, 256, (rows, 3, px, px), generator=generator, dtype=torch.uint8)
    return {"pixels": pixels, "tokens": network.tokenize(texts)}


def encoders_source(graphs: Mapping[str, EncoderGraph]) -> str:
    """The module that holds the functions of all graphs."""
    return PREAMBLE + "".join(f"\n{graph.source}\n" for graph in graphs.values())


class _Encoder(nn.Module):
    """A function of a network as a module of its own, so that its weights have the names that checkpoints have."""

    def __init__(self, network: Network, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network, self._function = as_module(network), function


class _OfPixels(_Encoder):
    @override
    def forward(self, pixels: Tensor) -> Tensor:
        return self._function(pixels)


class _OfTokens(_Encoder):
    @override
    def forward(self, tokens: Tensor) -> Tensor:
        return self._function(tokens)


class _OfBoth(_Encoder):
    @override
    def forward(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        return self._function(pixels, tokens)


_ENCODERS: dict[tuple[str, ...], type[_Encoder]] = {
    ("pixels",): _OfPixels,
    ("tokens",): _OfTokens,
    ("pixels", "tokens"): _OfBoth,
}


def _recorded(name: str, encoder: _Encoder, inputs: Mapping[str, Tensor], fixed_length: bool) -> EncoderGraph:
    free = torch.export.Dim.DYNAMIC
    dynamic = {one: {0: free, 1: free} if one == "tokens" and not fixed_length else {0: free} for one in inputs}
    try:
        with torch.no_grad():
            program = torch.export.export(encoder, tuple(inputs.values()), dynamic_shapes=dynamic, strict=False)
    except Exception as error:  # torch meets what it cannot record with errors of many kinds
        first = str(error).strip().partition("\n")[0]
        raise InputError(f"the encoder {name!r} cannot be recorded by torch.export: {first}") from error
    weights = _weights(program)
    return EncoderGraph(name, program, _source(name, program, weights, inputs), dict(weights.values()), inputs)


def _weights(program: ExportedProgram) -> dict[str, tuple[str, Tensor]]:
    """Argument of the graph → name and tensor. Constants have names of their content: encoders share them."""
    named: dict[str, tuple[str, Tensor]] = {}
    for spec in program.graph_signature.input_specs:
        target = spec.target
        if target is None:
            continue
        tensor = program.state_dict.get(target)
        if tensor is None:
            constant = program.constants[target]
            assert isinstance(constant, Tensor)
            named[spec.arg.name] = (f"constant.{_digest(constant)}", constant.detach())
        else:
            named[spec.arg.name] = (target.removeprefix("network."), tensor.detach())
    return named


def _digest(tensor: Tensor) -> str:
    content = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode() + content).hexdigest()[:16]


def _source(
    name: str, program: ExportedProgram, weights: Mapping[str, tuple[str, Tensor]], inputs: Mapping[str, Tensor]
) -> str:
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if any(check in str(node.target) for check in CHECKS):
            graph.erase_node(node)
    code: Any = graph.python_code("self")
    if unknown := sorted(code.globals.keys() - KNOWN_TO_SOURCE):
        raise InputError(f"the encoder {name!r} has operations that cannot be written as source: {', '.join(unknown)}")
    _, _, body = code.src.partition("):\n")
    read = [f"    {argument} = weights[{full!r}]" for argument, (full, _) in weights.items()]
    head = f"def {name}(weights, device, {', '.join(inputs)}):"
    return "\n".join([head, *read, body.rstrip().replace("device(type='cpu')", "device")])
