"""JSON files that users and benchmarks supply."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spn4cir_core.errors import InputError


def parse_json(text: str) -> Any:
    """JSON as plain values; halves of characters, which its escapes can hold and no file can, become question marks.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        value = json.loads(text)
        return _whole_characters(value) if "\\ud" in text.lower() else value
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(item) for key, item in value.items()}
    return value


def read_json_file(path: Path) -> Any:
    """JSON that a user supplied.

    Raises:
        InputError: the file cannot be read or is not JSON in UTF-8.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error


def read_json_rows(path: Path, what: str, shape: str, fits: Callable[[object], bool]) -> Iterator[Any]:
    """The rows of a JSON list that a user supplied, in its order.

    Args:
        what: the rows' name in messages: ``CIRR triplets``.
        shape: what ``fits`` asks of a row, in messages.

    Raises:
        InputError: the file cannot be read, is not a JSON list, or a row does not fit.
    """
    rows = read_json_file(path)
    if not isinstance(rows, list):
        raise InputError(f"{path} is not a list of {what} but {type(rows).__name__}")
    for number, row in enumerate(rows):
        if not fits(row):
            raise InputError(f"{path}: row {number} is not {shape}: {str(row)[:120]}")
        yield row


def read_json_lines(path: Path) -> list[Any]:
    """The values of a UTF-8 file with one JSON value a line; see :func:`iterate_json_lines`."""
    return [value for _, value in iterate_json_lines(path)]


def iterate_json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Number and value of each line of a UTF-8 file with one JSON value a line; empty lines are skipped.

    Lines end at a line feed only: JSON strings may hold U+2028, U+2029 and U+0085 as they are (RFC 8259, section 7).

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not UTF-8, or a line is not JSON; the message has its number.
    """
    with path.open(encoding="utf-8-sig", newline="\n") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                try:
                    yield number, parse_json(line)
                except ValueError as error:
                    raise ValueError(f"line {number}: {error}") from error


def inside(path: Path, root: Path, *linked_folders: Path) -> Path:
    """The path itself, if it stays below the root, or one of the linked folders, once links and ``..`` are followed.

    Raises:
        InputError: it leads out of the root, or cannot be followed.
    """
    try:
        stays = any(path.resolve().is_relative_to(folder.resolve()) for folder in (root, *linked_folders))
    except (OSError, RuntimeError, ValueError) as error:  # link loops, NUL characters
        raise InputError(f"{path} cannot be used: {error}") from error
    if not stays:
        raise InputError(
            f"{path} leads out of {root}; put the file itself there, or allow links into its folder with "
            f'[images.reader] links_into = "{path.resolve().parent}"'
        )
    return path
