"""The recipe: one TOML file, one table per stage, validated; an unknown key is an error that names it."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, ValidationInfo, model_validator

from spn4cir_core.annotations.settings import AnnotationSettings
from spn4cir_core.blend.settings import BlendSettings
from spn4cir_core.captions.settings import CaptionSettings
from spn4cir_core.embeddings.settings import EmbeddingSettings
from spn4cir_core.engine.plugins import Choice, Settings, explain, under_new_keys
from spn4cir_core.errors import RecipeError
from spn4cir_core.evaluation.settings import EvaluationSettings
from spn4cir_core.images.base import READERS
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.negatives.settings import FalseNegativeSettings
from spn4cir_core.pairs.settings import PairSettings
from spn4cir_core.reranking.base import RERANKERS, Reranker
from spn4cir_core.search.settings import SearchSettings
from spn4cir_core.splits.settings import SplitSettings
from spn4cir_core.store.fingerprints import plain
from spn4cir_core.texts.settings import ModifiedTextSettings, TemplateSettings
from spn4cir_core.texts.token_counts import BACKBONE
from spn4cir_core.training.settings import BankSettings, ControlSettings, Stage1Settings, Stage2Settings
from spn4cir_core.triplets.settings import TripletSettings

PUBLISHED = "published"
"""Context in which a recipe is read to be compared with."""
NOT_MEASURED = {"name", "seed", "control_checkpoint", "blend", "eval_report", "search_index", "rerank"}
"""The tables of a recipe that do not affect the figures that are compared with published ones."""


@dataclass(frozen=True)
class LoadedFrom:
    """Where a recipe comes from; recipes that say the same are equal wherever they come from.

    Attributes:
        recipe: name of a packaged recipe, or absolute path of a TOML file.
        images: the folder of pictures that was given beside it, absolute.
    """

    recipe: str = field(default="", compare=False)
    images: str = field(default="", compare=False)


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]{0,39}", name):
        raise ValueError("up to 40 lower-case letters, digits and _ are expected, the first no _")
    return name


class Recipe(Settings):
    """All settings of one pipeline. Each table carries the name of the artefact it steers."""

    name: Annotated[str, AfterValidator(_checked_name)]
    seed: int = Field(default=0, ge=0, lt=2**31)
    images: ImageSettings
    annotations: AnnotationSettings = AnnotationSettings()
    templates: TemplateSettings = TemplateSettings()
    captions: CaptionSettings
    image_embeddings: EmbeddingSettings
    splits: SplitSettings = SplitSettings()
    pairs: PairSettings
    modified_texts: ModifiedTextSettings = ModifiedTextSettings()
    triplets: TripletSettings = TripletSettings()
    false_negatives: FalseNegativeSettings = FalseNegativeSettings()
    stage1_checkpoint: Stage1Settings
    control_checkpoint: ControlSettings = ControlSettings()
    candidate_bank: BankSettings = BankSettings()
    stage2_checkpoint: Stage2Settings
    blend: BlendSettings = BlendSettings()
    eval_report: EvaluationSettings = EvaluationSettings()
    search_index: SearchSettings = SearchSettings()
    rerank: Annotated[Reranker, Choice(RERANKERS)] | None = None
    """Puts the first hits in order by looking at them: in search, and in the report beside the order without it."""
    _loaded_from: LoadedFrom = PrivateAttr(default_factory=lambda: LoadedFrom())

    @property
    def loaded_from(self) -> LoadedFrom:
        """What it was loaded from; empty where it was not loaded, or with overrides that no command can repeat."""
        return self._loaded_from

    def loaded(self, source: str | Path, images: Path | None = None) -> Recipe:
        """The same recipe, which knows what it was loaded from."""
        file = "" if not source or str(source) in packaged_recipes() else str(Path(source).absolute())
        self._loaded_from = LoadedFrom(file or str(source), str(images.absolute()) if images else "")
        return self

    @model_validator(mode="after")
    def _with_what_is_not_as_published(self, info: ValidationInfo) -> Recipe:
        report = self.eval_report
        if not report.published or info.context == PUBLISHED:
            return self
        if report.published not in packaged_recipes():
            raise ValueError(f"eval_report.published: there is no packaged recipe {report.published!r}")
        tables = merge(_read(report.published, ()), {"images": {"reader": {"folder": "."}}})
        published = Recipe.model_validate(tables, context=PUBLISHED)
        differing = differences(self.measured_settings(), published.measured_settings())
        return self.model_copy(update={"eval_report": report.model_copy(update={"differences": differing})})

    def measured_settings(self) -> dict[str, Any]:
        """The settings that decide what is measured, as JSON values; a seed decides nothing of a method."""
        tables = {name: plain(getattr(self, name)) for name in type(self).model_fields if name not in NOT_MEASURED}
        return {**tables, "eval_report": {"evaluators": plain(self.eval_report.evaluators)}}

    @model_validator(mode="after")
    def _with_objectives_that_teach(self) -> Recipe:
        for stage in ("stage1_checkpoint", "stage2_checkpoint"):
            objective = getattr(self, stage).objective
            if objective.only_regularises:
                raise ValueError(
                    f"{stage}.objective: {objective.plugin_kind!r} knows no right answer and teaches nothing by "
                    "itself; put it into a 'mixture' with 'in_batch' or 'bank'"
                )
        return self

    @model_validator(mode="after")
    def _with_the_backbones_tokenizer(self) -> Recipe:
        """Resolved here and not in the stage, whose fingerprint must not hang on learning rates."""
        texts = self.modified_texts
        if texts.tokenizer != BACKBONE:
            return self
        return self.model_copy(
            update={"modified_texts": texts.read_by(*self.stage1_checkpoint.backbone.text_tokenizer())}
        )


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], above: str = "") -> tuple[str, ...]:
    """Dotted names of the settings that differ; of a table of another ``kind`` the table's own name."""
    names: list[str] = []
    for key in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(key), theirs.get(key)
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping) and one.get("kind") == other.get("kind"):
            names += differences(one, other, f"{above}{key}.")
        else:
            names.append(f"{above}{key}")
    return tuple(names)


def packaged_recipes() -> dict[str, str]:
    """Name → first comment line of every recipe that comes with the package."""
    folder = resources.files("spn4cir_core") / "recipes"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)
    return {entry.name[:-5]: entry.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for entry in files}


def load_recipe(source: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Load a packaged recipe by name, or a TOML file by path, and apply overrides.

    A recipe may name another one as ``base = "…"`` and override some of its keys; of several, ``base = ["…", "…"]``,
    each overrides those before it, and one that several of them build on is read once, before them all. A value that
    starts with ``./`` or ``../`` is a path relative to the file it stands in.

    Raises:
        RecipeError: unknown name, unreadable file, unknown key, or a value out of range.
    """
    base = _read(source, ())
    tables = merge(base, tables_under_new_keys(overrides or {}, Recipe, base))
    try:
        recipe = Recipe.model_validate(tables)
    except ValidationError as error:
        raise RecipeError(explain(error, f"recipe {source}", Recipe)) from error
    return recipe if overrides else recipe.loaded(source)


def recipe_of(source: str, images: Path | None, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe that reads its pictures from the folder ``images``, where one is given.

    Without a source it is ``folder`` with such a folder, else ``demo``. The recipe's own reader looks in the folder;
    a recipe whose pictures are drawn reads the folder instead.

    Raises:
        RecipeError: as :func:`load_recipe`.
    """
    source = source or ("folder" if images else "demo")
    if images is None:
        return load_recipe(source, overrides)
    reader = {"folder": str(images)}
    if not reads_a_folder(source):
        reader["kind"] = "folder"
    recipe = load_recipe(source, merge(overrides or {}, {"images": {"reader": reader}}))
    return recipe if overrides else recipe.loaded(source, images)


def reads_a_folder(source: str | Path) -> bool:
    """Whether the recipe's reader takes its pictures from a folder that one can name.

    Raises:
        RecipeError: unknown name, unreadable file, or an unknown reader.
    """
    reader = _read(source, ()).get("images", {}).get("reader", {})
    kind = reader.get("kind") if isinstance(reader, Mapping) else reader
    return kind is None or "folder" in READERS.member(str(kind)).model_fields


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Override keys table by table. A table of another ``kind`` replaces the old one whole."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        same_kind = (
            isinstance(old, Mapping) and isinstance(value, Mapping) and value.get("kind") in (None, old.get("kind"))
        )
        merged[key] = merge(old, value) if same_kind and isinstance(old, Mapping) else value
    return merged


def tables_under_new_keys(tables: Mapping[str, Any], model: type[Settings], base: Mapping[str, Any]) -> dict[str, Any]:
    """Tables and the tables inside them under today's keys, so that an old key overrides what ``base`` gives anew.

    Args:
        base: the tables that these override; they name the kinds of plug-ins that ``tables`` leave out.

    Raises:
        RecipeError: a setting is given under its old and its new name.
    """
    try:
        renamed = under_new_keys(tables, model)
    except ValueError as error:
        raise RecipeError(f"{model.__name__}: {error}") from error
    for key, value in renamed.items():
        if isinstance(value, Mapping):
            given = base.get(key)
            below: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
            nested = _model_of(model, key, value.get("kind", below.get("kind")))
            renamed[key] = tables_under_new_keys(value, nested, below) if nested else value
    return renamed


def _model_of(model: type[Settings], key: str, kind: Any) -> type[Settings] | None:
    """The settings that the table under ``key`` becomes; None where that is open, or the key takes no table."""
    field = model.model_fields.get(key)
    if field is None:
        return None
    for option in (field.annotation, *get_args(field.annotation)):
        origin, *annotations = get_args(option) if get_origin(option) is Annotated else (option, *field.metadata)
        rooms = [item.room for item in annotations if isinstance(item, Choice)]
        if isinstance(origin, type) and issubclass(origin, Settings):
            return (rooms[0].member(str(kind)) if kind else None) if rooms else origin
    return None


def _read(source: str | Path, above: tuple[str, ...]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for tables in _layers(source, above).values():
        merged = merge(merged, tables_under_new_keys(tables, Recipe, merged))
    return merged


def _layers(source: str | Path, above: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The recipe's own tables, last, and those of its bases, each base once and before what overrides it."""
    tables = _own_tables(source)
    base, chain, layers = tables.pop("base", []), (*above, _identity(source)), dict[str, dict[str, Any]]()
    for name in map(str, base if isinstance(base, list) else [base]):
        if _identity(name) in chain:
            circle = [*chain[chain.index(_identity(name)) :], _identity(name)]
            raise RecipeError(f"recipe {source}: its bases go in a circle: {' → '.join(circle)}")
        below = _layers(name, chain)
        layers |= {identity: own for identity, own in below.items() if identity not in layers}
    return {**layers, _identity(source): tables}


def _own_tables(source: str | Path) -> dict[str, Any]:
    packaged = resources.files("spn4cir_core") / "recipes" / f"{source}.toml"
    path = Path(source)
    if str(source) in packaged_recipes():
        text = packaged.read_text(encoding="utf-8")
    elif is_recipe_file(path):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise RecipeError(f"recipe {path} is not UTF-8 text ({error}); save it as UTF-8 TOML") from error
    else:
        near = difflib.get_close_matches(str(source), packaged_recipes(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise RecipeError(
            f"no recipe {str(source)!r}: neither a file ({path.absolute()}) nor one of the packaged "
            f"{', '.join(packaged_recipes())}{hint}"
        )
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"recipe {source} is not valid TOML: {error}") from error
    return anchored(tables, path.absolute().parent) if is_recipe_file(path) else tables


def _identity(source: str | Path) -> str:
    """A packaged recipe's name, or a file's one path."""
    return str(source) if str(source) in packaged_recipes() else str(Path(source).resolve())


def is_recipe_file(path: Path) -> bool:
    """Whether a recipe can be read from that path."""
    try:
        return path.is_file()
    except OSError:  # a name too long for any file
        return False


def anchored(value: Any, folder: Path) -> Any:
    """TOML values whose strings that start with ``./`` or ``../`` are paths relative to the folder."""
    if isinstance(value, dict):
        return {key: anchored(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [anchored(item, folder) for item in value]
    if isinstance(value, str) and value.startswith(("./", "../")):
        return str((folder / value).resolve())
    return value
