"""Checkpoint files in the layouts in which BLIP4CIR and SPRC were published, written from small models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from spn4cir_core.backbones.base import Backbone
from spn4cir_core.backbones.published import load_published
from spn4cir_core.errors import InputError
from spn4cir_core.training.checkpoints import as_module
from tests.backbones.blip_models import as_blip_wrote, as_lavis_wrote, backbone

SmallTable = Callable[[str], dict[str, Any]]
KEYS = {"blip4cir": "BLIP_Retrieval", "sprc": "Blip2QformerCirAlignPrompt"}
WRITERS: dict[str, Callable[[Any], dict[str, torch.Tensor]]] = {"blip4cir": as_blip_wrote, "sprc": as_lavis_wrote}
PREFIXES = {"blip4cir": "blip.", "sprc": "blip_model."}
KINDS_AND_STAGES = [(kind, stage) for kind in KEYS for stage in (1, 2)]


def moved(made: Backbone, stage: int) -> Any:
    """A network of other weights than the folder's, EVA's missing bias for keys excepted."""
    network: Any = made.build([], 0)
    if stage == 2:
        network.untie_query_encoder()
    generator = torch.Generator().manual_seed(stage)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            change = torch.randn(parameter.shape, generator=generator)
            if name.endswith("qkv.bias"):
                change[32:64] = 0
            parameter.add_(change.to(parameter.dtype))
    return network


def content(kind: str, stage: int, network: Any) -> dict[str, Any]:
    tensors = WRITERS[kind](network)
    if stage == 1:
        return {"epoch": 7, KEYS[kind]: tensors, "optimizer_state_dict": {"state": {}, "param_groups": []}}
    prefixed = {f"{PREFIXES[kind]}{name}": tensor for name, tensor in tensors.items()}
    return {"epoch": 2, "state_dict": prefixed | ({"tau": torch.tensor(0.02)} if kind == "blip4cir" else {})}


@pytest.mark.parametrize(("kind", "stage"), KINDS_AND_STAGES)
def test_every_tensor_of_a_published_file_arrives(
    small_table: SmallTable, tmp_path: Path, kind: str, stage: int
) -> None:
    made = backbone(small_table(kind))
    written = moved(made, stage)
    torch.save(content(kind, stage, written), tmp_path / "best.pt")
    network, account = load_published(tmp_path / "best.pt", made, [], 0)
    weights, expected = as_module(network).state_dict(), written.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert account.layout == f"stage {stage} of {kind}" and not account.fresh
    assert "the learned temperature, which the recipe sets" in account.details()["tensors_ignored"]


@pytest.mark.parametrize(("kind", "stage"), KINDS_AND_STAGES)
def test_one_tensor_too_few_or_too_many_is_named(
    small_table: SmallTable, tmp_path: Path, kind: str, stage: int
) -> None:
    made = backbone(small_table(kind))
    whole = content(kind, stage, moved(made, stage))
    key = "state_dict" if stage == 2 else KEYS[kind]
    gone = next(name for name in whole[key] if name.endswith("mlp.fc2.bias"))
    torch.save({**whole, key: {n: t for n, t in whole[key].items() if n != gone}}, tmp_path / "less.pt")
    with pytest.raises(InputError, match=r"1 missing: vision_model\.encoder\.layers\.0\.mlp\.fc2\.bias"):
        load_published(tmp_path / "less.pt", made, [], 0)
    torch.save({**whole, key: {**whole[key], "decoder.weight": torch.zeros(2)}}, tmp_path / "more.pt")
    with pytest.raises(InputError, match=r"1 tensors are not known: decoder\.weight"):
        load_published(tmp_path / "more.pt", made, [], 0)


def test_a_file_of_the_other_backbone_is_recognised_and_refused(small_table: SmallTable, tmp_path: Path) -> None:
    for kind, other in (("blip4cir", "sprc"), ("sprc", "blip4cir")):
        torch.save(content(kind, 2, moved(backbone(small_table(kind)), 2)), tmp_path / "best.pt")
        with pytest.raises(InputError, match=f"is a checkpoint of stage 2 of {kind}, the recipe asks for.*{other}"):
            load_published(tmp_path / "best.pt", backbone(small_table(other)), [], 0)


def test_weights_of_the_model_folder_are_not_needed_beside_a_published_file(
    small_table: SmallTable, tmp_path: Path
) -> None:
    for kind in KEYS:
        written = moved(backbone(small_table(kind)), 1)
        torch.save(content(kind, 1, written), tmp_path / "best.pt")
        bare = tmp_path / kind
        bare.mkdir()
        for file in Path(small_table(kind)["model"]).iterdir():
            if file.suffix != ".safetensors":
                (bare / file.name).write_bytes(file.read_bytes())
        network, _ = load_published(tmp_path / "best.pt", backbone(small_table(kind), model=str(bare)), [], 0)
        assert torch.equal(
            as_module(network).state_dict()["vision_model.embeddings.class_embedding"],
            written.state_dict()["vision_model.embeddings.class_embedding"],
        )


def test_the_tower_of_a_published_file_is_kept_as_narrow_as_asked(small_table: SmallTable, tmp_path: Path) -> None:
    written = moved(backbone(small_table("sprc")), 1)
    torch.save(content("sprc", 1, written), tmp_path / "best.pt")
    network, _ = load_published(tmp_path / "best.pt", backbone(small_table("sprc"), vision_dtype="float16"), [], 0)
    for name, tensor in as_module(network).state_dict().items():
        assert tensor.dtype == (torch.float16 if name.startswith("vision_model.") else torch.float32), name


def test_a_published_blip_has_the_originals_epsilon_whatever_the_hubs_configuration_says(
    small_table: SmallTable, tmp_path: Path
) -> None:
    made = backbone(small_table("blip4cir"))
    hubs = moved(made, 1)
    torch.save(content("blip4cir", 1, hubs), tmp_path / "stage1.pt")
    published = load_published(tmp_path / "stage1.pt", made, [], 0)[0]
    restored = made.restore(published.state())
    assert hubs.config.vision_config.layer_norm_eps == 1e-5
    for network in (published, restored):
        norms = [part for part in as_module(network).vision_model.modules() if isinstance(part, torch.nn.LayerNorm)]  # type: ignore[union-attr,operator]
        assert norms and {norm.eps for norm in norms} == {1e-6}
