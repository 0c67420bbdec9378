from pathlib import Path

from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.texts.settings import TemplateSettings
from spn4cir_core.texts.snapshot_templates import read_templates
from spn4cir_core.texts.stages import TEMPLATES

BANK = """
# a comment
[sets]
used = ["one", "two"]
spare = ["three"]
[[template]]
id = "one"
text = "{target}"
[[template]]
id = "two"
text = "make it {added}"
[[template]]
id = "three"
text = "not {removed}"
"""


def snapshot(folder: Path, bank: str, name: str = "bank.toml") -> tuple[str, list[str]]:
    path = folder / name
    path.write_text(bank, encoding="utf-8")
    recipe = Recipe.model_construct(name="test", templates=TemplateSettings(bank=str(path), use=("used",)))
    artifact, _ = TEMPLATES.run(recipe, Store(folder / "store"))
    return artifact.fingerprint, [template.text for template in read_templates(artifact)]


def test_the_snapshot_holds_the_templates_in_use(tmp_path: Path) -> None:
    assert snapshot(tmp_path, BANK)[1] == ["{target}", "make it {added}"]


def test_comments_spaces_order_place_and_unused_templates_change_nothing(tmp_path: Path) -> None:
    before = snapshot(tmp_path, BANK)
    assert snapshot(tmp_path, BANK.replace("# a comment", "# another")) == before
    assert snapshot(tmp_path, BANK.replace("make it {added}", "make  it {added} ")) == before
    assert snapshot(tmp_path, BANK.replace("not {removed}", "no more {removed}")) == before
    assert snapshot(tmp_path, BANK.replace('"one", "two"', '"two", "one"')) == before
    assert snapshot(tmp_path, BANK, "copy.toml") == before


def test_a_template_in_use_changes_the_snapshot(tmp_path: Path) -> None:
    before = snapshot(tmp_path, BANK)
    edited = snapshot(tmp_path, BANK.replace("make it {added}", "I want {added}"))
    assert edited[0] != before[0]
    assert edited[1] == ["{target}", "I want {added}"]
    assert snapshot(tmp_path, BANK.replace('"one", "two"', '"one"'))[0] != before[0]
