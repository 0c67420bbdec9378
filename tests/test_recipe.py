from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest

from spn4cir_core.cli.options import chosen_recipe
from spn4cir_core.engine.plugins import Choice, Plugin, Room, Settings
from spn4cir_core.errors import RecipeError
from spn4cir_core.recipe import load_recipe, merge, packaged_recipes, reads_a_folder, tables_under_new_keys


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", sorted(packaged_recipes()))
def test_packaged_recipes_load_and_say_what_they_are(name: str) -> None:
    needs_folder = {"images": {"reader": {"folder": "pictures"}}} if reads_a_folder(name) else {}
    assert load_recipe(name, needs_folder).name
    assert packaged_recipes()[name]


SHARED = {  # published scripts and README of SPN4CIR, 2a413f7
    "seed": 42,
    "pairs.images": "annotated",
    "pairs.per_reference": 1,
    "triplets.candidates": "triplets",
    "triplets.gates": (),
    "triplets.annotated_repeats": 1,
    "triplets.generated_weight": 1.0,
    "false_negatives.guards": (),
    "images.reader.as_published": True,
    "stage1_checkpoint.backbone.pixels": "published",
    "stage1_checkpoint.steps": 0,
    "stage2_checkpoint.rate_schedule": "constant",
    "stage2_checkpoint.warmup_share": 0.0,
    "stage2_checkpoint.precision": "float16",
    "stage2_checkpoint.adam_epsilon": 1e-7,
    "stage2_checkpoint.decayed": "all",
    "stage2_checkpoint.learnt_temperature": "value",
    "stage2_checkpoint.clip_norm": 1e9,
    "stage2_checkpoint.accumulate_batches": 1,
    "stage2_checkpoint.objective.plugin_kind": "bank",
}
COLUMNS = (
    "pairs.window",
    "pairs.max_pairs",
    "pairs.references",
    "captions.captioner.words",
    "stage2_checkpoint.batch_size",
    "stage2_checkpoint.epochs",
    "stage2_checkpoint.learning_rate",
    "stage2_checkpoint.temperature",
    "stage2_checkpoint.learn_temperature",
    "stage2_checkpoint.weight_decay",
    "stage2_checkpoint.adam_betas",
)
ANY, BETAS, SPRC_BETAS = (0.0, 1.0), (0.9, 0.999), (0.9, 0.98)
PUBLISHED: dict[str, tuple[Any, ...]] = {  # windows from rank 1, as rank 0 is the image itself there
    "fashioniq": ((10_000, 20_000), None, "annotated", 5, 256, 3, 2e-5, 0.02, False, 0.01, BETAS),
    "fashioniq_tgcir": ((10_000, 20_000), None, "annotated", 5, 256, 5, 2e-5, 0.02, False, 0.01, BETAS),
    "fashioniq_blip4cir": (ANY, 3000, "annotated", 5, 128, 10, 5e-6, 0.03, True, 0.01, BETAS),
    "fashioniq_sprc": (ANY, 6000, "annotated", 5, 32, 3, 1e-5, 0.05, True, 0.05, SPRC_BETAS),
    "cirr": ((10_000, 15_000), None, "all", 10, 256, 3, 2e-5, 0.02, False, 0.01, BETAS),
    "cirr_tgcir": ((10_000, 15_000), None, "all", 10, 256, 5, 2e-5, 0.01, False, 0.01, BETAS),
    "cirr_blip4cir": (ANY, None, "all", 10, 128, 3, 6e-6, 0.02, True, 0.01, BETAS),
    "cirr_sprc": (ANY, None, "annotated", 10, 32, 3, 1e-5, 0.05, True, 0.05, SPRC_BETAS),
}
FOLDER = {"images": {"reader": {"folder": "pictures"}}}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_benchmark_recipes_have_the_published_settings(name: str) -> None:
    made = load_recipe(name, FOLDER)
    values = {dotted: attrgetter(dotted)(made) for dotted in (*COLUMNS, *SHARED)}
    if made.pairs.window != ANY:
        values["pairs.window"] = tuple(rank + 1 for rank in made.pairs.window)
    assert values == {**dict(zip(COLUMNS, PUBLISHED[name], strict=True)), **SHARED}
    assert (made.templates.use, made.modified_texts.choose) == (
        (("published_fashioniq",), "random") if name.startswith("fashioniq") else (("published_cirr",), "all")
    )
    assert made.stage1_checkpoint.start_from.startswith("weights/")
    assert (made.eval_report.published, made.eval_report.differences) == (name, ())


def test_what_is_changed_of_published_settings_is_named() -> None:
    changed = {"seed": 3, "stage2_checkpoint": {"epochs": 4}, "pairs": {"mode": "exact"}, "name": "mine"}
    made = load_recipe("fashioniq_tgcir", merge(FOLDER, changed))
    assert made.eval_report.published == "fashioniq_tgcir"
    assert made.eval_report.differences == ("pairs.mode", "stage2_checkpoint.epochs")
    better = load_recipe("cirr_better", FOLDER).eval_report
    assert better.published == "cirr" and {"pairs.window", "false_negatives.guards"} <= set(better.differences)
    with pytest.raises(RecipeError, match="there is no packaged recipe 'none'"):
        load_recipe("demo", {"eval_report": {"published": "none"}})


@pytest.mark.parametrize("kind", ["tgcir", "blip4cir", "sprc"])
@pytest.mark.parametrize("data", ["fashioniq", "cirr"])
def test_our_settings_with_another_backbone_are_its_published_ones_and_ours(data: str, kind: str) -> None:
    ours, published, better = (
        load_recipe(f"{data}{end}", FOLDER) for end in (f"_{kind}_better", f"_{kind}", "_better")
    )
    for name in ("images", "splits", "templates", "modified_texts", "triplets", "false_negatives", "blend"):
        assert getattr(ours, name) == getattr(better, name), name
    assert ours.pairs == better.pairs.model_copy(update={"max_pairs": published.pairs.max_pairs})
    pixels = published.stage1_checkpoint.backbone.model_copy(update={"pixels": "managed"})
    assert ours.stage1_checkpoint == published.stage1_checkpoint.model_copy(update={"backbone": pixels})
    validation = better.stage2_checkpoint.validation
    assert validation.keep == "best" and validation.origins == ("annotated",)
    assert ours.stage2_checkpoint == published.stage2_checkpoint.model_copy(update={"validation": validation})
    assert ours.eval_report.evaluators == better.eval_report.evaluators != published.eval_report.evaluators
    assert ours.eval_report.published == f"{data}_{kind}" and "pairs.window" in ours.eval_report.differences


def test_a_folder_goes_to_the_recipes_own_reader(tmp_path: Path) -> None:
    assert chosen_recipe("cirr", tmp_path).images.reader.plugin_kind == "cirr"
    assert chosen_recipe("", tmp_path).name == "folder"
    assert chosen_recipe("demo", tmp_path).images.reader.plugin_kind == "folder"
    assert chosen_recipe("", None).name == "demo"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[splits]\nvalidation_shar = 0.1\n",
            r"splits: unknown key 'validation_shar'; did you mean 'validation_share'\?",
        ),
        ("[split]\nvalidation_share = 0.1\n", r"unknown key 'split'; did you mean 'splits'\?"),
        ("[splits]\nvalidation_share = 3\n", r"splits: validation_share = 3"),
        ("seed = -1\n", "seed = -1"),
        ('name = "No Spaces"\n', "name = 'No Spaces'"),
        ("[images.reader]\nkind = 'foldr'\n", r"unknown reader 'foldr'\. Did you mean 'folder'\?"),
        ("[images.reader]\nkind = 'folder'\nfolder = 'x'\nfoldr = 'y'\n", "unknown key 'foldr'; did you mean 'folder'"),
        ("[images\n", "is not valid TOML"),
    ],
)
def test_a_wrong_recipe_names_the_key_the_value_and_the_nearest_known(tmp_path: Path, text: str, message: str) -> None:
    head, tables = (text, "") if not text.startswith("[") else ("", text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, f'base = "demo"\n{head}\n{tables}'))


def test_missing_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="key 'images' is missing"):
        load_recipe(write(tmp_path, 'name = "mine"\n'))


def test_an_unknown_recipe_lists_the_packaged_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'folder'"):
        load_recipe("fodler")
    with pytest.raises(RecipeError, match=r"reader 'folder': which pictures\? .*--images"):
        load_recipe("folder")
    with pytest.raises(RecipeError, match=r"no recipe 'nope': neither a file \(.*nope\) nor one of the packaged"):
        load_recipe("nope")
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "caf\xe9"\n')
    with pytest.raises(RecipeError, match="not UTF-8"):
        load_recipe(path)


def test_a_base_is_overridden_key_by_key_and_overrides_come_last(tmp_path: Path) -> None:
    write(tmp_path, 'base = "demo"\nseed = 5\n[splits]\nvalidation_share = 0.25\n', "shared/base.toml")
    path = write(tmp_path, 'base = "./shared/base.toml"\nname = "mine"\n[splits]\nevaluation_share = 0.5\n')
    recipe = load_recipe(path, {"splits": {"near_duplicate_bits": 1}})
    assert (recipe.name, recipe.seed) == ("mine", 5)
    splits = recipe.splits
    assert (splits.validation_share, splits.evaluation_share, splits.near_duplicate_bits) == (0.25, 0.5, 1)


def test_of_several_bases_each_overrides_those_before_it_and_a_shared_one_is_read_first(tmp_path: Path) -> None:
    write(tmp_path, 'base = "demo"\nseed = 1\n[splits]\nvalidation_share = 0.1\nevaluation_share = 0.1\n', "root.toml")
    write(tmp_path, 'base = "./root.toml"\nseed = 2\n[splits]\nvalidation_share = 0.2\n', "one.toml")
    write(tmp_path, 'base = "./root.toml"\n[splits]\nvalidation_share = 0.3\n', "two.toml")
    for bases, validation in ((["one", "two"], 0.3), (["two", "one"], 0.2), (["one", "two", "one"], 0.3)):
        listed = ", ".join(f'"./{base}.toml"' for base in bases)
        recipe = load_recipe(write(tmp_path, f'base = [{listed}]\nname = "mine"\n'))
        splits = recipe.splits
        assert (recipe.seed, splits.validation_share, splits.evaluation_share) == (2, validation, 0.1), bases


def test_bases_that_go_in_a_circle_are_refused(tmp_path: Path) -> None:
    write(tmp_path, 'base = "./b.toml"\n', "a.toml")
    write(tmp_path, 'base = ["demo", "./a.toml"]\n', "b.toml")
    with pytest.raises(RecipeError, match="go in a circle"):
        load_recipe(tmp_path / "a.toml")


def test_relative_paths_start_at_their_own_file(tmp_path: Path) -> None:
    reader = '[images.reader]\nkind = "folder"\nfolder = "{}"\n'
    base = write(tmp_path, 'base = "demo"\n' + reader.format("../pictures"), "recipes/base.toml")
    assert load_recipe(base).images.reader.folder == tmp_path / "pictures"  # type: ignore[attr-defined]
    child = write(tmp_path, 'base = "../recipes/base.toml"\nname = "child"\n', "elsewhere/child.toml")
    assert load_recipe(child).images.reader.folder == tmp_path / "pictures"  # type: ignore[attr-defined]
    plain = write(tmp_path, 'base = "demo"\n' + reader.format("pictures"), "plain.toml")
    assert load_recipe(plain).images.reader.folder == Path("pictures")  # type: ignore[attr-defined]


def test_another_kind_replaces_the_whole_table_and_the_same_kind_merges() -> None:
    base = {"reader": {"kind": "folder", "folder": "x", "group_column": "g"}, "n": 1}
    assert merge(base, {"reader": {"kind": "shapes", "scenes": 3}}) == {
        "reader": {"kind": "shapes", "scenes": 3},
        "n": 1,
    }
    assert merge(base, {"reader": {"folder": "y"}})["reader"] == {"kind": "folder", "folder": "y", "group_column": "g"}
    assert base["reader"]["folder"] == "x", "the base is not changed"  # type: ignore[index]


class Sum(Plugin):
    plugin_kind = "sum"
    renamed_keys: ClassVar[Mapping[str, str]] = {"spares": "excludes"}
    excludes: bool = False


class Judging(Settings):
    rule: Annotated[Sum, Choice(Room("rule", {"sum": f"{__name__}:Sum"}))] | None = None


class Pipeline(Settings):
    renamed_keys: ClassVar[Mapping[str, str]] = {"judged": "judging"}
    judging: Judging = Judging()


def test_an_old_key_overrides_what_a_newer_base_gives_under_the_new_key() -> None:
    base = {"judging": {"rule": {"kind": "sum", "excludes": True}}}
    over = tables_under_new_keys({"judged": {"rule": {"spares": False}}}, Pipeline, base)
    assert merge(base, over) == {"judging": {"rule": {"kind": "sum", "excludes": False}}}
    with pytest.raises(RecipeError, match="'spares' and 'excludes'"):
        tables_under_new_keys({"judging": {"rule": {"kind": "sum", "spares": 1, "excludes": 1}}}, Pipeline, {})


@pytest.mark.parametrize("stage", ["stage1_checkpoint", "stage2_checkpoint"])
@pytest.mark.parametrize(
    "objective",
    [
        {"kind": "wording_consistency"},
        {"kind": "mixture", "parts": [{"kind": "wording_consistency"}, {"kind": "pull"}]},
    ],
)
def test_an_objective_without_a_right_answer_is_refused_alone(stage: str, objective: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=rf"{stage}.objective: '{objective['kind']}' knows no right answer"):
        load_recipe("demo", {stage: {"objective": objective}})
    taught = {"kind": "mixture", "parts": [objective, {"kind": "in_batch"}]}
    assert load_recipe("demo", {"stage1_checkpoint": {"objective": taught}})
