"""Texts that models and people wrote, made fit to stand inside a sentence."""

from __future__ import annotations

import re


def one_line(text: str) -> str:
    """The text on one line, without quotes around it and without its last full stop."""
    line = re.sub(r"\s+", " ", text).strip().strip('"').strip()
    return line.removesuffix(".").rstrip()
