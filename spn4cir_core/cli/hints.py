"""Commands that messages name, completed by the options that this command was given."""

from __future__ import annotations

import logging
import re
import shlex
from pathlib import Path

from typing_extensions import override

DEFAULT_STORE = "store"
_COMMAND = re.compile(
    r"\bspn4cir (?:run|search|serve|example|status|summary|export|triplets|queries|images|doctor|vectors)\b"
    r"(?! --(?:recipe|store|images)\b)"
)
_options: list[str] = []


def remember(recipe: str, store: str, images: Path | None) -> None:
    """Remember which recipe, store and folder this command is about."""
    given = {"--recipe": recipe, "--images": str(images or ""), "--store": "" if store == DEFAULT_STORE else store}
    _options[:] = [word for option, value in given.items() if value for word in (option, value)]


def with_options(message: str) -> str:
    """The message, in which every ``spn4cir run`` and its like has the options that were remembered."""
    if not _options:
        return message
    options = shlex.join(_options)
    return _COMMAND.sub(lambda match: f"{match.group()} {options}", message)


class CompleteHints(logging.Filter):
    """Completes the commands that log messages name."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if (completed := with_options(text)) != text:
            record.msg, record.args = completed, ()
        return True
