"""The ``templates`` stage: a snapshot of the templates in use."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from spn4cir_core.engine.stage import Work
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.whole_file import read_json
from spn4cir_core.texts.fill_templates import Template
from spn4cir_core.texts.settings import TemplatesInput
from spn4cir_core.texts.templates import load_bank


def templates_in_use(tables: TemplatesInput, store: Store) -> list[dict[str, Any]]:
    """What decides the snapshot: neither comments, nor order, nor templates that are not in use.

    Raises:
        RecipeError: the bank cannot be used, or a name in ``templates.use`` is not in it.
    """
    settings = tables.templates
    return [asdict(template) for template in load_bank(settings.bank).choose(settings.use)]


def snapshot_templates(work: Work[TemplatesInput]) -> None:
    """Write ``templates.json``."""
    with work.draft.timed("read"):
        rows = templates_in_use(work.settings, work.store)
    work.draft.write_json(rows, "templates.json")
    work.draft.rows = len(rows)
    work.draft.details["templates"] = rows


def read_templates(artifact: Artifact) -> list[Template]:
    """The snapshot's templates, sorted by id."""
    return [Template(**row) for row in read_json(artifact.file("templates.json"))]
