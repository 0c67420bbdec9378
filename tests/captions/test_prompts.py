from __future__ import annotations

import pytest

from spn4cir_core.captions.prompts import PUBLISHED, check_request, request


def test_published_request() -> None:
    assert request(PUBLISHED, "dress", 5) == "Please briefly describe the dress in 5 words."
    assert request(PUBLISHED, "", 10) == "Please briefly describe the image in 10 words."


@pytest.mark.parametrize(
    "template",
    ["", "  ", "describe {colour}", "describe {", "describe {}", "{0}", "{category.x}", "{words[0]}", "{words:s}"],
)
def test_bad_requests_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"placeholder|empty"):
        check_request(template)
