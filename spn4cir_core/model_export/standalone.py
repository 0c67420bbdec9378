"""A module's source without imports from this package: what it uses of the package is written into it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = "spn4cir_core"


@dataclass
class Module:
    """The top level of one source file, by name."""

    lines: list[str]
    docstring: str
    definitions: dict[str, ast.stmt] = field(default_factory=dict)
    outside: dict[str, str] = field(default_factory=dict)
    """Name → the import of something that is not of the package."""
    inside: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Name → module of the package, and the name there."""

    def source(self, name: str) -> str:
        """The text of a definition, decorators included."""
        node = self.definitions[name]
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        return "\n".join(self.lines[first - 1 : node.end_lineno])


def standalone(name: str) -> str:
    """The source of the package's module ``name`` and of all it uses of other ones, each before what uses it.

    Raises:
        ValueError: two modules use one name for different things.
    """
    pieces: dict[str, None] = {}
    origins: dict[str, str] = {}
    imports: set[str] = set()

    def need(module_name: str, used: str) -> None:
        module = read_module(module_name)
        if used in module.outside:
            imports.add(module.outside[used])
        elif used in module.inside:
            need(*module.inside[used])
        elif used in module.definitions and origins.get(used) != module_name:
            if used in origins:
                raise ValueError(f"{module_name} and {origins[used]} both define {used}")
            origins[used] = module_name
            for other in _names(module.definitions[used]):
                need(module_name, other)
            pieces[module.source(used)] = None

    root = read_module(name)
    for defined in root.definitions:
        need(name, defined)
    head = [f'"""{root.docstring}"""', "from __future__ import annotations", "\n".join(sorted(imports))]
    return "\n\n".join(head) + "\n\n\n" + "\n\n\n".join(pieces) + "\n"


@cache
def read_module(name: str) -> Module:
    """Parse a module of the package; what is imported for type checking alone is left out."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    text = Path(spec.origin).read_text(encoding="utf-8")
    tree = ast.parse(text)
    module = Module(text.splitlines(), ast.get_docstring(tree, clean=False) or "")
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(PACKAGE):
            module.inside |= {alias.asname or alias.name: (str(node.module), alias.name) for alias in node.names}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            origin = f"from {node.module} " if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                bound = alias.asname or alias.name
                given = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
                module.outside[bound.split(".")[0]] = f"{origin}import {given}"
        else:
            module.definitions |= dict.fromkeys(_defined(node), node)
    return module


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def _names(node: ast.stmt) -> list[str]:
    """Names that a definition uses, in a fixed order."""
    return sorted({name.id for name in ast.walk(node) if isinstance(name, ast.Name)})
