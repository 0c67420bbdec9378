"""Published files of BLIP4CIR: BLIP with its authors' names, and a temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spn4cir_core.backbones.blip_names import vision_names
from spn4cir_core.backbones.published import FileTensors, Layout

if TYPE_CHECKING:
    from torch import Tensor

AS_THEY_ARE = ("text_encoder.", "vision_proj.", "text_proj.")
TEMPERATURE = "the learned temperature, which the recipe sets"


def blip_below(source: FileTensors, prefix: str) -> dict[str, Tensor]:
    """The tensors of a BLIP below a prefix, by their names in our network."""
    source.ignore(f"{prefix}text_encoder.embeddings.position_ids", "a constant")
    source.ignore(f"{prefix}temp", TEMPERATURE)
    vision = vision_names(source.below(f"{prefix}visual_encoder."))
    named = {f"vision_model.{name}": tensor for name, tensor in vision.items()}
    for part in AS_THEY_ARE:
        named |= {f"{part}{name}": tensor for name, tensor in source.below(f"{prefix}{part}").items()}
    return named


def stage2(source: FileTensors) -> dict[str, Tensor]:
    """The whole module of SPN4CIR's stage 2: BLIP and the temperature it goes on learning."""
    source.ignore("tau", TEMPERATURE)
    return blip_below(source, "blip.")


LAYOUTS = (
    Layout(
        backbone="blip4cir",
        stage=1,
        held_under="BLIP_Retrieval",
        signs=("visual_encoder.", "text_encoder.", "text_proj."),
        not_signs=("blip.", "Qformer."),
        translate=lambda source: blip_below(source, ""),
    ),
    Layout(
        backbone="blip4cir",
        stage=2,
        held_under="state_dict",
        signs=("blip.visual_encoder.", "blip.text_encoder.", "blip.text_proj."),
        not_signs=("blip_model.",),
        translate=stage2,
    ),
)
