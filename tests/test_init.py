"""What importing the package sets for libraries that are imported after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SHOW = "import json, os, spn4cir_core; print(json.dumps({name: os.environ.get(name) for name in %r}))"
NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, ("PASSIVE", "5000")),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ("ACTIVE", None)),
        ({"GOMP_SPINCOUNT": "7"}, ("PASSIVE", "7")),
    ],
)
def test_threads_spin_for_a_moment_unless_the_user_says_how_they_wait(
    given: dict[str, str], seen: tuple[str | None, ...]
) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in NAMES}
    ran = subprocess.run(
        [sys.executable, "-c", SHOW % (NAMES,)], env=bare | given, capture_output=True, text=True, check=True
    )
    assert tuple(json.loads(ran.stdout).values()) == seen
