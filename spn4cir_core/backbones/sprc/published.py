"""Published files of SPRC: BLIP-2 with LAVIS' names, the prompt tokens, and a temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spn4cir_core.backbones.blip_names import qformer_names, vision_names
from spn4cir_core.backbones.published import FileTensors, Layout

if TYPE_CHECKING:
    from torch import Tensor

NOT_USED = {
    "itm_head.": "the matching head, which retrieval does not use",
    "Qformer.cls.": "the captioning head, which retrieval does not use",
    "Qformer.bert.embeddings.position_ids": "a constant",
    "temp": "the learned temperature, which the recipe sets",
}
AGAIN = "stage 2's copy of the captioning head, which retrieval does not use"


def blip2_below(source: FileTensors, prefix: str) -> dict[str, Tensor]:
    """The tensors of a BLIP-2 Q-Former model below a prefix, by their names in our network."""
    for name, reason in NOT_USED.items():
        source.ignore(f"{prefix}{name}", reason)
    named = {
        f"vision_model.{name}": tensor
        for name, tensor in vision_names(source.below(f"{prefix}visual_encoder.")).items()
    }
    for theirs, ours in (("ln_vision.", "ln_vision."), ("vision_proj.", "vision_projection.")):
        named |= {f"{ours}{name}": tensor for name, tensor in source.below(f"{prefix}{theirs}").items()}
    for tokens in ("query_tokens", "prompt_tokens"):
        named[tokens] = source.take(f"{prefix}{tokens}")
    return named | _former(source, f"{prefix}Qformer.bert.", f"{prefix}text_proj.", "former.")


def stage2(source: FileTensors) -> dict[str, Tensor]:
    """The whole module of SPN4CIR's stage 2: stage 1's BLIP-2, and the second reading's Q-Former and projection."""
    source.ignore("blip_model.Qformer_query.cls.", AGAIN)
    source.ignore("blip_model.Qformer_query.bert.embeddings.position_ids", "a constant")
    apart = _former(source, "blip_model.Qformer_query.bert.", "blip_model.text_proj_q.", "query_former.")
    return blip2_below(source, "blip_model.") | apart


def _former(source: FileTensors, bert: str, projection: str, ours: str) -> dict[str, Tensor]:
    named = {f"{ours}{name}": tensor for name, tensor in qformer_names(source.below(bert)).items()}
    projected = source.below(projection)
    return named | {f"{ours}text_projection.{name}": tensor for name, tensor in projected.items()}


LAYOUTS = (
    Layout(
        backbone="sprc",
        stage=1,
        held_under="Blip2QformerCirAlignPrompt",
        signs=("visual_encoder.", "Qformer.bert.", "prompt_tokens"),
        not_signs=("blip_model.",),
        translate=lambda source: blip2_below(source, ""),
    ),
    Layout(
        backbone="sprc",
        stage=2,
        held_under="state_dict",
        signs=("blip_model.visual_encoder.", "blip_model.Qformer_query.bert.", "blip_model.text_proj_q."),
        not_signs=("blip.",),
        translate=stage2,
    ),
)
