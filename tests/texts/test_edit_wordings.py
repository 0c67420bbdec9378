from __future__ import annotations

import pytest

from spn4cir_core.texts.differences import difference
from spn4cir_core.texts.edit_wordings import WORDINGS, edit_wordings
from spn4cir_core.texts.templates import load_bank
from spn4cir_core.texts.wording import worded


@pytest.mark.parametrize(
    ("reference", "target", "plain", "make", "rather", "change", "not_"),
    [
        (
            "red kettle",
            "pink kettle",
            *("pink", "make it pink", "pink rather than red", "change red to pink", "in pink"),
        ),
        (
            "blue bell with cross",
            "blue bell with pencil",
            "pencil instead of cross",
            "replace cross with pencil",
            "pencil rather than cross",
            "change cross to pencil",
            "not cross but pencil",
        ),
        (
            "a dress",
            "a dress with a belt",
            *("with a belt", "add a belt", "also a belt", "put a belt on it", "having a belt"),
        ),
        (
            "orange clipboard, outline",
            "orange clipboard",
            *("without outline", "remove outline", "no outline", "drop outline", "not outline"),
        ),
        (
            "green puzzle",
            "black puzzle with pencil",
            "black and with pencil",
            "make it black and add pencil",
            "black rather than green and also pencil",
            "change green to black and put pencil on it",
            "in black and having pencil",
        ),
        ("a cat", "a cat", "", "", "", "", ""),
    ],
)
def test_every_wording_names_what_changes_and_not_the_thing(
    reference: str, target: str, plain: str, make: str, rather: str, change: str, not_: str
) -> None:
    expected = dict(zip(WORDINGS, (plain, make, rather, change, not_), strict=True))
    assert edit_wordings(reference, target) == expected


def test_the_packaged_set_fills_every_template_with_another_text() -> None:
    reference, target = "a red jug with a lid", "a blue jug"
    values = worded(reference, target, difference(reference, target))
    templates = load_bank().choose(["edits"])
    texts = {template.fill(values) for template in templates if template.applies(values)}
    assert len(texts) == len(templates) == 10 and not any("jug" in text for text in texts)
