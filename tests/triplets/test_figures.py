from spn4cir_core.triplets.figures import names_target_in_full, text_figures


def test_every_word_is_needed() -> None:
    assert names_target_in_full(["a blue, large dog"], "large blue dog")
    assert not names_target_in_full(["blue dog", "large dog"], "large blue dog")
    assert not names_target_in_full(["red circle"], "red circle, red circle")
    assert not names_target_in_full(["anything"], "")


def test_no_generated_triplet_has_no_share() -> None:
    assert set(text_figures([], set(), [], [b"a cat"]).values()) == {None}
