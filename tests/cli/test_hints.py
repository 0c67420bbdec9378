from __future__ import annotations

import logging
from pathlib import Path

import pytest

from spn4cir_core.cli.hints import CompleteHints, remember, with_options


@pytest.mark.parametrize(
    ("given", "message", "completed"),
    [
        (
            ("shoes.toml", "s/", None),
            "make it with: spn4cir run",
            "make it with: spn4cir run --recipe shoes.toml --store s/",
        ),
        (
            ("", "store", Path("my pictures")),
            "spn4cir run --select x.",
            "spn4cir run --images 'my pictures' --select x.",
        ),
        (("", "store", None), "make it with: spn4cir run", "make it with: spn4cir run"),
        (("a", "b", None), "spn4cir run --recipe other", "spn4cir run --recipe other"),
        (("a", "b", None), "see: spn4cir ablate --help", "see: spn4cir ablate --help"),
    ],
)
def test_commands_in_messages_get_the_options_of_this_one(
    given: tuple[str, str, Path | None], message: str, completed: str
) -> None:
    remember(*given)
    try:
        assert with_options(message) == completed
        record = logging.LogRecord("spn4cir_core", logging.WARNING, "", 0, "%s", (message,), None)
        assert CompleteHints().filter(record) and record.getMessage() == completed
    finally:
        remember("", "store", None)
