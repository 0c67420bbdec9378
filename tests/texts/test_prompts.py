from pathlib import Path

import pytest

from spn4cir_core.errors import RecipeError
from spn4cir_core.texts.edit_wordings import WORDINGS
from spn4cir_core.texts.prompts import PLACEHOLDERS, fill_prompt, load_prompt, packaged_prompts
from spn4cir_core.texts.templates import PLACEHOLDERS as OF_TEMPLATES

VALUES = {name: f"<{name}>" for name in PLACEHOLDERS}


def test_packaged_prompts_can_be_used() -> None:
    assert set(packaged_prompts()) == {
        "difference",
        "difference_images",
        "imitate_fashion",
        "imitate_scenes",
        "paraphrase",
    }
    for name in packaged_prompts():
        filled = fill_prompt(load_prompt(name, sees_images=name == "difference_images"), VALUES)
        assert ("<text>" in filled) == (name in ("imitate_fashion", "imitate_scenes", "paraphrase"))
        assert ("<reference>" in filled and "<target>" in filled) == (name == "difference")
        assert "nothing else" in filled or "sentence only" in filled
    for name in ("imitate_fashion", "imitate_scenes"):
        assert packaged_prompts()[name].count("Sentence:") == 6, "five examples and the question"


def test_placeholders_are_those_of_templates_and_what_they_wrote() -> None:
    assert set(PLACEHOLDERS) - {"text"} == set(OF_TEMPLATES) - {"attribute", *WORDINGS}


def test_words_of_a_caption_are_never_placeholders() -> None:
    assert fill_prompt("say {target} {{now}}", {**VALUES, "target": "{kept}"}) == "say {kept} {now}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing of the change"),
        ("say it nicely", "nothing of the change"),
        ("keep {kept}", "nothing of the change"),
        ("say {targett}", "unknown placeholder with 'targett'"),
        ("say {target!r}", "unknown placeholder with 'r'"),
        ("say {target:>9}", "unknown placeholder with '>9'"),
        ("say {target", "literal brace|no placeholder"),
        ("say {}", "unknown placeholder with ''"),
    ],
)
def test_a_bad_prompt_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        load_prompt(str(path), sees_images=False)


def test_a_model_that_sees_the_change_need_not_be_told_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("\ufeffWhat changed?\n", encoding="utf-8")
    assert load_prompt(str(path), sees_images=True) == "What changed?"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"mine\.txt.*paraphrase"):
        load_prompt(str(path), sees_images=True)
