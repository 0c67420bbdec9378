from __future__ import annotations

import pytest

from spn4cir_core.captions.prompts import PUBLISHED, check_request, request
from spn4cir_core.models.local_model import tidy


def test_published_request() -> None:
    assert request(PUBLISHED, "dress", 5) == "Please briefly describe the dress in 5 words."
    assert request(PUBLISHED, "", 10) == "Please briefly describe the image in 10 words."


@pytest.mark.parametrize("template", ["", "  ", "describe {colour}", "describe {", "describe {}", "{0}"])
def test_bad_requests_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"placeholder|empty"):
        check_request(template)


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
def test_tidy(answer: str, caption: str) -> None:
    assert tidy(answer) == caption
