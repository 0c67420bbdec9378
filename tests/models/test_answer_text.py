from __future__ import annotations

import pytest

from spn4cir_core.models.answer_text import one_line


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("  A red dress. \n", "A red dress"),
        ('"A red dress"', "A red dress"),
        ("A red\n\ndress, no. 5 on it", "A red dress, no. 5 on it"),
        ("A dog...", "A dog.."),
        (" . ", ""),
        ("", ""),
    ],
)
def test_one_line(answer: str, caption: str) -> None:
    assert one_line(answer) == caption
