from __future__ import annotations

import torch

from spn4cir_core.backbones.composer_networks import CrossAttentionNetwork, Encoded


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
