from pathlib import Path

import pytest

from spn4cir_core.errors import RecipeError
from spn4cir_core.texts.fill_templates import Template
from spn4cir_core.texts.templates import load_bank


def values(
    reference: str = "r",
    target: str = "t",
    added: str = "a",
    removed: str = "x",
    attribute: str = "",
    changes: str = "",
    shared: str = "",
) -> dict[str, str]:
    return {
        "reference": reference,
        "target": target,
        "added": added,
        "removed": removed,
        "attribute": attribute,
        "changes": changes,
        "kept": shared,
    }


def bank_file(folder: Path, text: str) -> str:
    path = folder / "bank.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_published_phrasings() -> None:
    bank = load_bank()
    filled = {
        name: [template.fill(values("a cat", "a dog")) for template in bank.choose([name])]
        for name in ("published", "published_fashioniq", "published_cirr")
    }
    assert filled["published_fashioniq"] == ["a dog"]
    assert filled["published_cirr"] == ["a dog instead of a cat", "Unlike a cat, I want a dog"]
    assert sorted(filled["published"]) == sorted(filled["published_fashioniq"] + filled["published_cirr"])


def test_difference_phrasings_fit_the_change() -> None:
    templates = load_bank().choose(["difference"])

    def texts(**change: str) -> set[str]:
        return {template.fill(values(**change)) for template in templates if template.applies(values(**change))}

    assert texts(added="blue", removed="red") == {
        "blue instead of red",
        "blue",
        "make it blue",
        "change red to blue",
        "replace red with blue",
        "with blue and without red",
    }
    assert texts(added="", removed="", attribute="blue") == {"make it blue", "the same but blue"}
    assert texts(added="blue", removed="") == {"blue", "make it blue", "add blue"}
    assert texts(added="", removed="red") == {"without red", "remove red"}
    assert texts(added="", removed="") == set()


def test_choice_by_set_or_id_each_once_in_order_of_ids() -> None:
    ids = [template.id for template in load_bank().choose(["published", "target_only", "added", "published_cirr"])]
    assert ids == ["added", "instead_of", "target_only", "unlike"]


def test_words_of_a_caption_are_never_placeholders() -> None:
    assert Template("t", "{target}!").fill(values(target="{reference} {0}")) == "{reference} {0}!"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('[[template]]\nid = "mine"\ntext = "{tarqet} now"', ["'mine'", "{tarqet}", "{target}", "{removed}"]),
        ('[[template]]\nid = "mine"\ntext = "{target.__class__}"', ["'mine'", "{target.__class__}", "{added}"]),
        ('[[template]]\nid = "mine"\ntext = "{target:9}"', ["'mine'", "{target:9}"]),
        ('[[template]]\nid = "mine"\ntext = "{target!r}"', ["'mine'", "{target!r}"]),
        ('[[template]]\nid = "mine"\ntext = "{} now"', ["'mine'", "{}"]),
        ('[[template]]\nid = "mine"\ntext = "{target"', ["'mine'", "{target"]),
        ('[[template]]\nid = "mine"\ntext = "  "', ["'mine'", "empty text"]),
        ('[[template]]\nid = "mine"\ntext = 3', ["'mine'", "empty text 3"]),
        (
            '[[template]]\nid = "mine"\ntext = "not {reference}"',
            ["'mine'", "{target}, {added}, {removed}, {attribute}, {changes} or one of {edits_plain}"],
        ),
        ('[[template]]\ntext = "{target}"', ["needs an id", "{target}"]),
        ('[[template]]\nid = "mine"\ntext = "{target}"\nwhen = "x"', ["'mine'", "'when'"]),
        ('[[template]]\nid = "mine"\ntext = "{target}"\nonly = "both"', ["'mine'", "'both'", "'added'"]),
        ('[[template]]\nid = "mine"\ntext = "{added} {removed}"\nonly = "added"', ["'mine'", "only"]),
        (
            '[[template]]\nid = "mine"\ntext = "{target}"\n[[template]]\nid = "mine"\ntext = "{added}"',
            ["'mine'", "'{target}' and '{added}'"],
        ),
        ('[sets]\ns = ["b"]\n[[template]]\nid = "a"\ntext = "{target}"', ["'s'", "'b'", "a"]),
        ('[sets]\na = ["a"]\n[[template]]\nid = "a"\ntext = "{target}"', ["'a'", "both a set and a template"]),
        ('[sets]\ns = "a"\n[[template]]\nid = "a"\ntext = "{target}"', ["set s", "'a'"]),
        ('other = 1\n[[template]]\nid = "a"\ntext = "{target}"', ["'other'"]),
        ("", ["no template"]),
        ("[[template", ["cannot be read"]),
    ],
)
def test_a_bank_that_cannot_be_used_says_why(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = bank_file(tmp_path, text)
    with pytest.raises(RecipeError) as error:
        load_bank(path)
    for part in [path, *parts]:
        assert part in str(error.value)


def test_missing_file_and_other_encodings(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.toml"):
        load_bank(str(tmp_path / "absent.toml"))
    (tmp_path / "latin.toml").write_bytes('[[template]]\nid = "é"\ntext = "{target}"'.encode("latin-1"))
    with pytest.raises(RecipeError, match="UTF-8"):
        load_bank(str(tmp_path / "latin.toml"))


def test_unknown_choice_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"'diference'.*Did you mean 'difference'"):
        load_bank().choose(["diference"])
    with pytest.raises(RecipeError, match="selects no template"):
        load_bank().choose([])


def test_edit_and_keep_phrasings_need_something_to_say() -> None:
    bank = load_bank()
    keep = bank.choose(["difference_keep"])

    def texts(**change: str) -> set[str]:
        return {template.fill(values(**change)) for template in keep if template.applies(values(**change))}

    assert [template.fill(values(changes="make it red")) for template in bank.choose(["difference_edits"])] == [
        "make it red"
    ]
    assert texts(added="a star", removed="the dot", changes="change the dot to a star") == set()
    assert texts(added="a star", removed="the dot", changes="change the dot to a star", shared="the cross") == {
        "keep the cross, change the dot to a star"
    }
    assert texts(added="", removed="the dot", changes="remove the dot", shared="the cross") == {
        "keep the cross but remove the dot",
        "keep the cross, remove the dot",
    }
