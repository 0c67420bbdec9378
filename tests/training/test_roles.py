from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import spn4cir_core
from spn4cir_core.flow import STAGES
from spn4cir_core.training.roles import ROLES, SERVED, ModelName, served_among

CORE = Path(spn4cir_core.__file__).parent
TABLE = CORE / "training" / "roles.py"


def test_every_model_has_one_entry_and_an_artefact_of_the_flow() -> None:
    assert tuple(ROLES) == get_args(ModelName)
    assert all(name == role.name and role.artifact in STAGES for name, role in ROLES.items())
    assert len({role.artifact for role in ROLES.values()}) == len(ROLES)


def test_a_model_is_compared_with_others_only() -> None:
    for role in ROLES.values():
        assert role.name not in role.compared_with
        assert set(role.compared_with) <= set(ROLES)
    assert set(SERVED.compared_with) == set(ROLES) - {SERVED.name}
    assert served_among(["stage1", "stage2"]).name == "stage2" and served_among(ROLES) == SERVED


def test_no_other_file_writes_the_models_out_again() -> None:
    written = {
        path.relative_to(CORE).as_posix(): names
        for path in CORE.rglob("*.py")
        if path != TABLE
        for tree in [ast.parse(path.read_text(encoding="utf-8"))]
        if (names := {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)} & {"stage1", "stage2"})
    }
    assert not written


def test_colours_are_hex_so_that_plots_and_style_sheets_read_them() -> None:
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for role in ROLES.values() for colour in role.colours)
