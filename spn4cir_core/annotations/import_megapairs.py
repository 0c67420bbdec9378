"""MegaPairs' files: one JSON object a line, ``{q_img, q_text, t_img, hns}``, as its data set card has them.

``hns[0]`` is the query image itself. It is left out here: no reference image is an answer to its own query in search,
and the objective ``reference_negatives`` makes it a negative in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spn4cir_core.annotations.records import Record
from spn4cir_core.errors import InputError
from spn4cir_core.user_files import iterate_json_lines

REJECTED = -1.0
"""The score of a hard negative, as of an answer that people refused."""
SHAPE = "{q_img, q_text: [texts], t_img, hns: [paths]}"


def read_megapairs(path: Path) -> Iterator[Record]:
    """Triplets in the order of the file; ``q_text`` are alternatives, ``hns`` hard negatives: rejected soft targets.

    Raises:
        InputError: the file cannot be read, or a line is of another shape.
    """
    try:
        for number, row in iterate_json_lines(path):
            if not _is_triplet(row):
                raise InputError(f"{path}: line {number} is not {SHAPE}: {str(row)[:120]}")
            texts = [row["q_text"]] if isinstance(row["q_text"], str) else row["q_text"]
            yield Record(
                query_id=f"{path.stem}-{number}",
                reference=row["q_img"],
                targets=(row["t_img"],),
                texts=tuple(filter(None, (text.strip() for text in texts))),
                kind="",
                source=row,
                soft_targets={
                    name: REJECTED for name in row.get("hns") or () if name not in (row["q_img"], row["t_img"])
                },
            )
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON lines: {error}") from error


def _is_triplet(row: object) -> bool:
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) and row[key] for key in ("q_img", "t_img")):
        return False
    texts, negatives = row.get("q_text"), row.get("hns") or []
    alternatives = [texts] if isinstance(texts, str) else texts
    return all(isinstance(several, list) and all(map(_is_text, several)) for several in (alternatives, negatives))


def _is_text(value: object) -> bool:
    return isinstance(value, str)
