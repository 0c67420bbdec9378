"""Published files of TG-CIR: names of the modules as the paper's authors save them, matched by their shapes.

The token learner is saved as one 1 × 1 convolution per local token, the gate as two linear layers. What they are
called inside is not relied on: below its prefix each is recognised by the shapes of its tensors, in natural order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spn4cir_core.backbones.clip4cir.published import clip_below
from spn4cir_core.backbones.published import FileTensors, Layout
from spn4cir_core.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

TEACHER = "of the original's teacher, which sees the target and is used in its first stage alone"
SCALE = "the scale that the original's first stage learns for its loss; the recipe sets the temperature"


def _stage1(source: FileTensors) -> dict[str, Tensor]:
    return {**_shared(source), **_sides(source, ("",))}


def _stage2(source: FileTensors) -> dict[str, Tensor]:
    return {**_shared(source), **_sides(source, ("", "_text"))}


def _shared(source: FileTensors) -> dict[str, Tensor]:
    _check_alias(source)
    weights = clip_below(source, "backbone.clip.")
    for name in ("fc", "text_fc"):
        weights |= {f"{name}.{part}": source.take(f"backbone.{name}.{part}") for part in ("weight", "bias")}
    gate = source.below("s_remain_map.")
    matrices, biases = _matrices(gate), _biases(gate)
    if len(matrices) != 2 or len(biases) != 2:
        raise InputError(f"{source.path}: s_remain_map. should hold two linear layers; it holds {sorted(gate)}")
    for layer, matrix, bias in zip(("0", "2"), matrices, biases, strict=True):
        weights |= {f"s_remain_map.{layer}.weight": matrix, f"s_remain_map.{layer}.bias": bias}
    source.ignore("t_", TEACHER)
    source.ignore("local_weight", TEACHER)
    source.ignore("loss_T", SCALE)
    return weights


def _sides(source: FileTensors, endings: tuple[str, ...]) -> dict[str, Tensor]:
    import torch

    weights = {}
    for end in endings:
        masks = [*source.below(f"backbone.masks{end}.").values(), *_one(source, f"backbone.masks{end}")]
        if len(masks) != 1:
            raise InputError(f"{source.path} holds {len(masks)} tensors for backbone.masks{end}; there must be one")
        learner = source.below(f"backbone.tokenlearn{end}.")
        matrices, biases = _matrices(learner), _biases(learner)
        if not matrices or len(matrices) != len(biases) or len(learner) != 2 * len(matrices):
            raise InputError(
                f"{source.path}: backbone.tokenlearn{end}. should hold a convolution per token; it holds "
                f"{sorted(learner)}"
            )
        weights[f"masks{end}"] = masks[0]
        weights[f"tokenlearn{end}.weigh.weight"] = torch.cat([matrix.reshape(len(matrix), -1) for matrix in matrices])
        weights[f"tokenlearn{end}.weigh.bias"] = torch.cat(biases)
    return weights


def _check_alias(source: FileTensors) -> None:
    """The visual tower is saved a second time under ``backbone.image_backbone.``; the two must be one."""
    import torch

    alias, tower = "backbone.image_backbone.", "backbone.clip.visual."
    for name, tensor in source.left.items():
        if name.startswith(alias):
            other = source.left.get(tower + name.removeprefix(alias))
            if other is None or not torch.equal(tensor, other):
                raise InputError(f"{source.path}: {name!r} is not the visual tower's own tensor again")
    source.ignore(alias, "the visual tower saved a second time")


def _one(source: FileTensors, name: str) -> list[Tensor]:
    return [source.take(name)] if name in source.left else []


def _matrices(tensors: dict[str, Tensor]) -> list[Tensor]:
    return [tensors[name] for name in sorted(tensors, key=_natural) if tensors[name].ndim > 1]


def _biases(tensors: dict[str, Tensor]) -> list[Tensor]:
    return [tensors[name] for name in sorted(tensors, key=_natural) if tensors[name].ndim == 1]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key under which ``conv.10`` stands behind ``conv.9``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


SIGNS = ("backbone.clip.visual.", "backbone.fc.", "backbone.text_fc.", "backbone.tokenlearn.", "s_remain_map.")
APART, FRESH = ("backbone.masks_text", "backbone.tokenlearn_text."), ("teacher.",)
LAYOUTS = (
    Layout("tgcir", 1, "state_dict", SIGNS, APART, _stage1, FRESH),
    Layout("tgcir", 2, "state_dict", (*SIGNS, *APART), (), _stage2, FRESH),
)
