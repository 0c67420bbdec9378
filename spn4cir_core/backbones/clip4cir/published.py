"""Published files of CLIP4CIR: a whole CLIP with OpenAI's names, which are open_clip's too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spn4cir_core.backbones.published import FileTensors, Layout

if TYPE_CHECKING:
    from torch import Tensor

SIZES = ("input_resolution", "context_length", "vocab_size")


def clip_below(source: FileTensors, prefix: str) -> dict[str, Tensor]:
    """The tensors of a CLIP below a prefix, named as in a network whose attribute ``clip`` it is."""
    for name in SIZES:
        source.ignore(f"{prefix}{name}", "a size that the model's configuration tells")
    return {f"clip.{name}": tensor for name, tensor in source.below(prefix).items()}


LAYOUTS = (
    Layout(
        backbone="clip4cir",
        stage=1,
        held_under="CLIP",
        signs=("visual.", "token_embedding.weight", "text_projection"),
        not_signs=("clip.", "backbone."),
        translate=lambda source: clip_below(source, ""),
        fresh=("composer.",),
    ),
    Layout(
        backbone="clip4cir",
        stage=2,
        held_under="state_dict",
        signs=("clip.visual.", "clip.token_embedding.weight", "clip.text_projection"),
        not_signs=("backbone.",),
        translate=lambda source: clip_below(source, "clip."),
        fresh=("composer.",),
    ),
)
