"""Prompts of the rewriters: packaged ones by name, a person's own by path."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from spn4cir_core.errors import RecipeError

PLACEHOLDERS = ("reference", "target", "added", "removed", "changes", "kept", "text")
SAYS_THE_CHANGE = {"target", "added", "removed", "changes", "text"}


def packaged_prompts() -> dict[str, str]:
    """The prompts that come with the package, by name."""
    file = resources.files("spn4cir_core") / "texts" / "prompts.toml"
    return {name: text.strip() for name, text in tomllib.loads(file.read_text(encoding="utf-8")).items()}


def load_prompt(name: str, sees_images: bool) -> str:
    """The prompt of that name, or the words of a person's file.

    Raises:
        RecipeError: neither a packaged prompt nor a readable file, an unknown placeholder, or nothing of the change in
            it for a model that does not see the pictures.
    """
    packaged = packaged_prompts()
    if name in packaged:
        text = packaged[name]
    else:
        try:
            text = Path(name).expanduser().read_text(encoding="utf-8-sig").strip()
        except (OSError, ValueError) as error:
            raise RecipeError(
                f"the rewriter's prompt {name!r} cannot be read: {error}. Give the path of a text file in UTF-8, "
                f"or one of {', '.join(packaged)}"
            ) from error
    _check(name, text, sees_images)
    return text


def fill_prompt(prompt: str, values: Mapping[str, str]) -> str:
    """The prompt with its placeholders replaced; words of a caption are never read as placeholders."""
    return prompt.format_map(values)


def _check(name: str, text: str, sees_images: bool) -> None:
    known = ", ".join(f"{{{placeholder}}}" for placeholder in PLACEHOLDERS)
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise RecipeError(f"prompt {name}: {error}; a brace that is no placeholder is written {{{{ or }}}}") from error
    placeholders = {placeholder for _, placeholder, _, _ in parts if placeholder is not None}
    forms = {f"{form or ''}{conversion or ''}" for _, _, form, conversion in parts} - {""}
    if unknown := (placeholders - set(PLACEHOLDERS)) | forms:
        raise RecipeError(f"prompt {name}: unknown placeholder with {min(unknown)!r}; known: {known}")
    if not text or not (sees_images or placeholders & SAYS_THE_CHANGE):
        raise RecipeError(f"prompt {name} tells the model nothing of the change; use one of {known}")
