from __future__ import annotations

import torch

from spn4cir_core.backbones.composer_networks import CombinerNetwork, CrossAttentionNetwork, Encoded


def test_only_what_is_read_of_the_last_layer_is_computed_and_it_is_the_same() -> None:
    torch.manual_seed(0)
    network = CrossAttentionNetwork(dim=8, token_dim=16, layers=2, heads=4)
    padding_BP = torch.tensor([[False] * 5, [False, False, True, True, True]])
    image = Encoded(torch.randn(2, 8), torch.randn(2, 9, 16), torch.zeros(2, 9, dtype=torch.bool))
    text = Encoded(torch.randn(2, 8), torch.randn(2, 5, 16), padding_BP)
    tokens = torch.cat([image.tokens_BPW + network.modality[0], text.tokens_BPW + network.modality[1]], dim=1)
    for layer in network.layers:
        tokens = layer(tokens, src_key_padding_mask=torch.cat([image.padding_BP, padding_BP], dim=1))
    whole = image.pooled_BD + text.pooled_BD + network.out(network.norm(tokens[:, :9]).mean(dim=1))
    torch.testing.assert_close(network(image, text), whole)


def test_the_combiner_of_the_original_is_that_of_the_paper() -> None:
    """Sizes of CLIP4Cir with RN50x4, scaled down by 64: 640 → 10, 2560 → 40, 5120 → 80."""
    torch.manual_seed(0)
    network = CombinerNetwork(dim=10, hidden=40, dropout=0.5, joint_hidden=80).eval()
    image, text = torch.randn(3, 10), torch.randn(3, 10)
    alone = torch.zeros(3, 1, dtype=torch.bool)
    parts = dict(network.named_parameters())
    assert parts["joint.0.weight"].shape == (80, 80) and parts["mixture.3.weight"].shape == (1, 80)

    def linear(name: str, vectors: torch.Tensor) -> torch.Tensor:
        return vectors @ parts[f"{name}.weight"].T + parts[f"{name}.bias"]

    both = torch.cat([linear("image.0", image).clamp(min=0), linear("text.0", text).clamp(min=0)], dim=1)
    joint = linear("joint.3", linear("joint.0", both).clamp(min=0))
    share = torch.sigmoid(linear("mixture.3", linear("mixture.0", both).clamp(min=0)))
    query = network(Encoded(image, image[:, None], alone), Encoded(text, text[:, None], alone))
    torch.testing.assert_close(query, joint + share * text + (1 - share) * image)
