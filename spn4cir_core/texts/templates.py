"""Template banks: phrasings of a modified text, in a TOML file that people edit."""

from __future__ import annotations

import difflib
import string
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from spn4cir_core.errors import RecipeError
from spn4cir_core.texts.edit_wordings import WORDINGS
from spn4cir_core.texts.fill_templates import ONLY, Template

PLACEHOLDERS = ("reference", "target", "added", "removed", "attribute", "changes", "kept", *WORDINGS)
SAYS_SOMETHING = {"target", "added", "removed", "attribute", "changes", *WORDINGS}
MOST_CHARACTERS = 1000
BUILTIN = "builtin"


@dataclass(frozen=True)
class TemplateBank:
    """A bank file: templates by id, and named sets of them."""

    source: str
    templates: Mapping[str, Template]
    sets: Mapping[str, tuple[str, ...]]

    def choose(self, names: Iterable[str]) -> list[Template]:
        """The templates of the named sets and ids, each once, sorted by id.

        Raises:
            RecipeError: a name is neither a set nor a template, or no template is left.
        """
        templates: set[Template] = set()
        for name in names:
            if name not in self.sets and name not in self.templates:
                known = [*self.sets, *self.templates]
                near = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise RecipeError(
                    f"templates.use names {name!r}, which {self.source} does not have.{hint} "
                    f"Sets: {', '.join(self.sets) or 'none'}; templates: {', '.join(self.templates)}"
                )
            templates |= {self.templates[item] for item in self.sets.get(name, (name,))}
        if not templates:
            raise RecipeError(f"templates.use selects no template of {self.source}; name a set: {', '.join(self.sets)}")
        return sorted(templates)


def load_bank(bank: str = BUILTIN) -> TemplateBank:
    """Read and check a bank file, by path, or the packaged one.

    Raises:
        RecipeError: the file cannot be read, or one of its templates or sets cannot be used.
    """
    source = "the packaged templates.toml" if bank == BUILTIN else f"template bank {bank}"
    try:
        if bank == BUILTIN:
            text = (resources.files("spn4cir_core") / "texts" / "templates.toml").read_text(encoding="utf-8")
        else:
            text = Path(bank).expanduser().read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(
            f"{source} cannot be read: {error}. It must be a TOML file in UTF-8 with [[template]] tables; "
            f'templates.bank = "{BUILTIN}" gives the packaged one'
        ) from error
    return _checked(source, tables)


def _checked(source: str, tables: Mapping[str, Any]) -> TemplateBank:
    if unknown := tables.keys() - {"sets", "template"}:
        raise RecipeError(f"{source}: unknown key {min(unknown)!r}; a bank has [sets] and [[template]] tables")
    rows, sets = tables.get("template", []), tables.get("sets", {})
    if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
        raise RecipeError(f"{source} has no template; write [[template]] tables, each with an id and a text")
    templates = [_template(source, row) for row in rows]
    doubled = [name for name, count in Counter(template.id for template in templates).items() if count > 1]
    if doubled:
        texts = " and ".join(repr(template.text) for template in templates if template.id == doubled[0])
        raise RecipeError(f"{source}: template id {doubled[0]!r} is used for {texts}; give each an id of its own")
    by_id = {template.id: template for template in templates}
    if not isinstance(sets, dict):
        raise RecipeError(f"{source}: sets = {sets!r}; [sets] must be a table of lists of template ids")
    return TemplateBank(source, by_id, {name: _members(source, name, ids, by_id) for name, ids in sets.items()})


def _members(source: str, name: str, ids: Any, templates: Mapping[str, Template]) -> tuple[str, ...]:
    if not (isinstance(ids, list) and all(isinstance(item, str) for item in ids)):
        raise RecipeError(f"{source}: set {name} = {ids!r}; a set is a list of template ids")
    if name in templates:
        raise RecipeError(f"{source}: {name!r} names both a set and a template; rename one of them")
    for item in ids:
        if item not in templates:
            raise RecipeError(f"{source}: set {name!r} names {item!r}; the templates are {', '.join(templates)}")
    return tuple(ids)


def _template(source: str, row: Mapping[str, Any]) -> Template:
    name, text, only = row.get("id", ""), row.get("text", ""), row.get("only", "")
    if unknown := row.keys() - {"id", "text", "only"}:
        raise RecipeError(f"{source}: template {name!r} has the unknown key {min(unknown)!r}; keys: id, text, only")
    if not (isinstance(name, str) and name.strip()):
        raise RecipeError(f"{source}: a template has the id {name!r}; each needs an id, its text is {text!r}")
    if not (isinstance(text, str) and text.strip()):
        raise RecipeError(f"{source}: template {name!r} has the empty text {text!r}; write words and {_known()}")
    if len(text) > MOST_CHARACTERS:
        raise RecipeError(
            f"{source}: template {name!r} has {len(text):,} characters, {text[:40]!r} …; a modified text is a "
            f"sentence, of at most {MOST_CHARACTERS:,}"
        )
    if only not in ("", *ONLY):
        raise RecipeError(f"{source}: template {name!r}: only = {only!r}; it can be {' or '.join(map(repr, ONLY))}")
    template = Template(name.strip(), " ".join(text.split()), only)
    _check_placeholders(source, template)
    return template


def _check_placeholders(source: str, template: Template) -> None:
    where = f"{source}: template {template.id!r}, {template.text!r}"
    try:
        parts = list(string.Formatter().parse(template.text))
    except ValueError as error:
        raise RecipeError(f"{where}: {error}; a brace that is no placeholder is written {{{{ or }}}}") from error
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if name not in PLACEHOLDERS or form or conversion:
            near = difflib.get_close_matches(name, PLACEHOLDERS, n=1)
            hint = f"; did you mean {{{near[0]}}}?" if near else ""
            written = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise RecipeError(f"{where}: unknown placeholder {{{written}}}{hint} Known placeholders: {_known()}")
    if not template.placeholders() & SAYS_SOMETHING:
        raise RecipeError(
            f"{where} says nothing about the target: use {{target}}, {{added}}, {{removed}}, {{attribute}}, "
            f"{{changes}} or one of {', '.join(f'{{{name}}}' for name in WORDINGS)}. "
            f"Known placeholders: {_known()}"
        )
    if template.only and template.placeholders() & (set(ONLY) - {template.only}):
        raise RecipeError(f"{where}: with only = {template.only!r} the other of {{added}} and {{removed}} is empty")


def _known() -> str:
    return ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
