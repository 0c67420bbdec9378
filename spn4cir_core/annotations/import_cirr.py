"""CIRR's caption files: ``cap.rc2.<split>.json``, a list of ``{pairid, reference, target_hard, caption, …}``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spn4cir_core.annotations.records import Record
from spn4cir_core.user_files import read_json_rows

SHAPE = "{pairid, reference, target_hard, caption}"


def read_cirr(path: Path, as_published: bool = False) -> Iterator[Record]:
    """Triplets in the order of the file; the target is ``target_hard``, as in the published evaluation.

    ``target_soft`` without the target are its soft targets, with it where people rejected it; ``img_set`` stays in
    the record's source. A generated triplet's ``caption`` is a list of alternatives.

    Args:
        as_published: leave ``target_soft`` unread, so that a triplet whose target people rejected is one like others.

    Raises:
        InputError: the file is not a JSON list of objects with ``pairid``, ``reference`` and ``caption``.
    """
    for row in read_json_rows(path, "CIRR triplets", SHAPE, _is_triplet):
        captions = [row["caption"]] if isinstance(row["caption"], str) else row["caption"]
        yield Record(
            query_id=str(row["pairid"]),
            reference=row["reference"],
            targets=(row["target_hard"],) if row.get("target_hard") else (),
            texts=tuple(filter(None, (caption.strip() for caption in captions))),
            kind="",
            source=row,
            soft_targets={} if as_published else _soft_targets(row),
        )


def _is_triplet(row: object) -> bool:
    if not isinstance(row, dict) or "pairid" not in row or not isinstance(row.get("reference"), str):
        return False
    caption = row.get("caption")
    captions = caption if isinstance(caption, list) else [caption]
    return all(isinstance(text, str) for text in captions) and _targets_are_named(row)


def _targets_are_named(row: dict[str, Any]) -> bool:
    return isinstance(row.get("target_hard", ""), str) and isinstance(row.get("target_soft") or {}, dict)


def _soft_targets(row: dict[str, Any]) -> dict[str, Any]:
    """Scored images besides the target, and the target where people rejected it.

    Of the 4,181 validation rows (rc2, checked in 2026) 4,139 give the target 1.0, one 0.5, one 0.2, three -1.0; in 37
    it is absent, and the reference itself has 1.0. Whether scores are numbers is checked where they are read.
    """
    soft, target = row.get("target_soft") or {}, row.get("target_hard")
    return {name: score for name, score in soft.items() if name != target or is_rejected(row)}


def is_rejected(row: dict[str, Any]) -> bool:
    """Whether people gave the row's target a score that is not above zero."""
    score = (row.get("target_soft") or {}).get(row.get("target_hard"), 1)
    return isinstance(score, (int, float)) and score <= 0
