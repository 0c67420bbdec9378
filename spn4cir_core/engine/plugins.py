"""Plug-ins: a table with a ``kind`` in a recipe becomes an object of a room.

Every strategy (captioner, image encoder, backbone, loss, …) is a frozen pydantic model: its fields are
its settings, its methods do the work and import what is heavy. A room is a dict from kind to
``"package.module:Class"``; a stranger's class works by giving that dotted name as the kind.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import re
import traceback
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from spn4cir_core.errors import RecipeError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

log = logging.getLogger(__name__)
SHOWN_CHARACTERS = 500
LARGEST_NUMBER = 2**31
"""No setting counts further than this; what does is a slip of the pen, and would end in memory or in days."""


class Settings(BaseModel):
    """A table of a recipe: frozen; an unknown key is an error, and so is a number that is not finite or very large."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)
    optional: ClassVar[frozenset[str]] = frozenset()
    """Fields whose extra may be missing: the work is then done without them."""
    largest_number: ClassVar[float] = LARGEST_NUMBER
    """Numbers of the table are refused above it."""
    renamed_keys: ClassVar[Mapping[str, str]] = {}
    """Old key → the setting's name today. A recipe that gives the old key is read, with one warning a process.

    The setting keeps its place in fingerprints by :class:`~spn4cir_core.store.fingerprints.FingerprintKey`.
    """

    @model_validator(mode="before")
    @classmethod
    def _read_renamed_keys(cls, table: Any) -> Any:
        return under_new_keys(table, cls) if isinstance(table, Mapping) else table

    @field_validator("*", mode="after")
    @classmethod
    def _is_no_slip_of_the_pen(cls, value: Any) -> Any:
        if isinstance(value, int | float) and abs(value) > cls.largest_number:
            raise ValueError(f"a number up to {cls.largest_number:,} is expected")
        return value

    def extras(self) -> tuple[str, ...]:
        """Names of the optional extras of this package that work with these settings needs."""
        return ()

    def missing(self) -> Iterable[str]:
        """A sentence for each folder or file on this machine that the settings name and that is not there.

        Nothing is loaded, and a hub id is not looked up.
        """
        return ()


def under_new_keys(table: Mapping[str, Any], model: type[Settings]) -> dict[str, Any]:
    """The table with the old names of renamed settings replaced by the names of today.

    Raises:
        ValueError: a setting is given under both names.
    """
    if both := [f"{old!r} and {new!r}" for old, new in model.renamed_keys.items() if old in table and new in table]:
        raise ValueError(f"{both[0]} are the old and the new name of one setting: keep only the new one")
    for old in model.renamed_keys.keys() & table.keys():
        _warn_of_rename(model, old)
    return {model.renamed_keys.get(key, key): value for key, value in table.items()}


@cache
def _warn_of_rename(model: type[Settings], old: str) -> None:
    log.warning(
        "%s: the key %r is now called %r; rename it in your recipe", model.__name__, old, model.renamed_keys[old]
    )


class Plugin(Settings):
    """Base of every strategy. Members set ``plugin_kind`` to the name they carry in their room."""

    plugin_kind: ClassVar[str]
    plugin_version: ClassVar[int] = 1
    """Raised when the same settings come to another result: what was made with the member is then made again."""


Named = str | Plugin
"""A plug-in by its kind, or as itself where it has settings of its own."""


class Room:
    """The members of one kind of thing, e.g. ``Room("captioner", {"llava": "…:Llava"})``."""

    def __init__(self, noun: str, members: Mapping[str, str]) -> None:
        self.noun = noun
        self.members = dict(members)

    def build(self, value: object) -> Any:
        """Turn a recipe table ``{kind = …, **settings}`` into the member it names.

        Raises:
            RecipeError: the kind is missing or unknown, or names something that is not a plug-in.
        """
        if isinstance(value, Plugin):
            return value
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, Mapping) or "kind" not in value:
            raise RecipeError(
                f"a {self.noun} needs a kind, got {shown(value)}; known kinds: {', '.join(sorted(self.members))}"
            )
        settings = {key: item for key, item in value.items() if key != "kind"}
        member = self.member(str(value["kind"]))
        try:
            return member.model_validate(settings)
        except ValidationError as error:
            raise RecipeError(explain(error, f"{self.noun} {value['kind']!r}", member)) from error
        except RecipeError as error:  # of a plug-in inside this one
            raise RecipeError(f"{self.noun} {value['kind']!r}: {error}") from error
        except Exception as error:  # whatever a class from elsewhere raises
            raise RecipeError(f"{self.noun} {value['kind']!r} cannot be made: {in_one_line(error)}") from error

    def member(self, kind: str) -> type[Plugin]:
        """Resolve a kind, or a dotted ``package.module:Class``, to its class."""
        target = self.members.get(kind, kind)
        if ":" not in target:
            near = difflib.get_close_matches(kind, self.members, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise RecipeError(
                f"unknown {self.noun} {kind!r}.{hint} Known: {', '.join(sorted(self.members))}; "
                "a class of your own works as 'package.module:Class'"
            )
        module_name, _, class_name = target.partition(":")
        try:
            loaded = getattr(importlib.import_module(module_name), class_name)
        except ModuleNotFoundError as error:
            is_own = error.name is not None and f"{module_name}.".startswith(f"{error.name}.")
            hint = "; PYTHONPATH must name its folder: PYTHONPATH=. for the working directory" if is_own else ""
            raise RecipeError(f"{self.noun} {kind!r}: cannot load {target!r}: {error}{hint}") from error
        except (ImportError, AttributeError) as error:
            raise RecipeError(f"{self.noun} {kind!r}: cannot load {target!r}: {error}") from error
        except Exception as error:  # a module from elsewhere runs its code when it is imported
            raise RecipeError(f"{self.noun} {kind!r}: cannot load {target!r}: {in_one_line(error)}") from error
        if not (isinstance(loaded, type) and issubclass(loaded, Plugin)):
            raise RecipeError(
                f"{self.noun} {kind!r}: {target!r} is not a spn4cir_core.engine.plugins.Plugin; derive it from the "
                f"base class of a {self.noun} (docs/extending.md)"
            )
        if "plugin_kind" not in loaded.__dict__:
            loaded.plugin_kind = kind
        return loaded


class Choice:
    """Pydantic annotation: ``captioner: Annotated[Captioner, Choice(CAPTIONERS)]``."""

    def __init__(self, room: Room) -> None:
        self.room = room

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            self.room.build,
            serialization=core_schema.plain_serializer_function_ser_schema(as_table),
        )


class NamedChoice(Choice):
    """Pydantic annotation for plug-ins given by name: ``gates: tuple[Annotated[Named, NamedChoice(GATES)], ...]``.

    A kind without settings of its own stays its name, in settings and in fingerprints; ``room.build`` makes the member
    from either form.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            self._checked,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: value if isinstance(value, str) else as_table(value)
            ),
        )

    def _checked(self, value: object) -> Named:
        plugin: Plugin = self.room.build(value)
        return value if isinstance(value, str) and plugin.plugin_version == 1 else plugin


def in_one_line(error: BaseException) -> str:
    """``ValueError: what it says (file.py, line 7)``: an error that nobody expected, and the line that raised it."""
    message = " ".join(str(error).split())[:SHOWN_CHARACTERS]
    frames = traceback.extract_tb(error.__traceback__)
    location = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{': ' if message else ''}{message}{location}"


def kind_of(value: Named) -> str:
    """The name of a plug-in that is given by name or as itself."""
    return value if isinstance(value, str) else value.plugin_kind


def explain(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    """Say which key of which table is wrong, with its value and, for an unknown key, the nearest known one."""
    lines = []
    for problem in error.errors():
        *tables, key = [str(part) for part in problem["loc"]] or ["?"]
        location = ".".join([where, *tables])
        if problem["type"] == "extra_forbidden":
            known = _keys_of(model, tables)
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}" if known else ""
            lines.append(f"{location}: unknown key {key!r}{hint}")
        elif problem["type"] == "missing":
            lines.append(f"{location}: key {key!r} is missing")
        else:
            lines.append(f"{location}: {key} = {shown(problem['input'])}: {message_of(problem)}")
    return "\n".join(lines)


def message_of(problem: ErrorDetails) -> str:
    """What is wrong; of an error that a validator of ours raises its own words, without pydantic's "Value error,"."""
    raised = problem.get("ctx", {}).get("error")
    return str(raised) if isinstance(raised, Exception) else problem["msg"]


def shown(value: object) -> str:
    """A wrong value as messages show it: of a table its keys, of a URL neither user nor password."""
    if isinstance(value, Mapping):
        return f"a table of {', '.join(map(str, value)) or 'nothing'}"
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value):
        return f"a list of {len(value)}"
    return re.sub(r"(?<=://)[^/@\s]*@", "***@", repr(value))[:SHOWN_CHARACTERS]


def _keys_of(model: type[BaseModel], tables: list[str]) -> list[str]:
    for table in tables:
        annotation = model.model_fields[table].annotation if table in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return sorted(model.model_fields)


def as_table(plugin: Plugin) -> dict[str, Any]:
    """The recipe table that gives this plug-in back."""
    return {"kind": plugin.plugin_kind, **plugin.model_dump(mode="json")}
