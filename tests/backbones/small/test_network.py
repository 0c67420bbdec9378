"""The built-in backbone's words."""

from __future__ import annotations

import pytest
import torch

from spn4cir_core.backbones.small.network import SmallNetwork
from spn4cir_core.backbones.small.settings import Small


@pytest.fixture(scope="module")
def network() -> SmallNetwork:
    network = Small().build(["add large blue star", "make red circle green"], seed=0)
    assert isinstance(network, SmallNetwork)
    return network


def encoded(network: SmallNetwork, *texts: str) -> torch.Tensor:
    with torch.no_grad():
        return network.encode_query(None, network.tokenize(texts))


def test_words_that_training_never_saw_change_nothing(network: SmallNetwork) -> None:
    said, known = encoded(network, "Add a large blue star, at the centre!", "add large blue star")
    assert torch.equal(said, known)


def test_a_text_of_unseen_words_alone_is_one_unknown_word(network: SmallNetwork) -> None:
    tokens = network.tokenize(["wholly other", "", "add"])
    assert tokens[0].tolist() == tokens[1].tolist() != tokens[2].tolist()
    assert torch.isfinite(encoded(network, "wholly other")).all()
