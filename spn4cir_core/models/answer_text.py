"""Texts that models and people wrote, made fit to stand inside a sentence."""

from __future__ import annotations

import re


def one_line(text: str) -> str:
    """The text on one line, without quotes around it and without its last full stop."""
    line = re.sub(r"\s+", " ", text).strip().strip('"').strip()
    return line.removesuffix(".").rstrip()


THOUGHTS_START, THOUGHTS_END = "<think>", "</think>"
_THOUGHTS = re.compile(r"^.*</think(?:ing)?>|<think(?:ing)?>.*$", re.DOTALL | re.IGNORECASE)


def without_thoughts(answer: str) -> str:
    """The answer behind a reasoning model's thoughts; empty where they were cut before it began.

    Some servers leave out the opening tag, which then stands in the prompt: all up to the closing one is thought.
    """
    return _THOUGHTS.sub("", answer).strip()
