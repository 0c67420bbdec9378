from __future__ import annotations

import pytest

from spn4cir_core.user_files import parse_json


def test_values_come_as_json_has_them() -> None:
    text = '{"a": [1, 2.5, null, true, "\\u00e9\\ud83d\\ude00\\n"]}'
    assert parse_json(text) == {"a": [1, 2.5, None, True, "é\N{GRINNING FACE}\n"]}


def test_halves_of_characters_become_question_marks() -> None:
    value = parse_json('{"\\ud800": ["a\\uDC00b", {"c": "\\ud83d"}], "d": 1}')
    assert value == {"?": ["a?b", {"c": "?"}], "d": 1}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": ' * 100_000, "1" * 9000])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)
