"""JSON files that users and benchmarks supply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spn4cir_core.errors import InputError


def read_json_file(path: Path) -> Any:
    """JSON that a user supplied.

    Raises:
        InputError: the file cannot be read or is not JSON in UTF-8.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
