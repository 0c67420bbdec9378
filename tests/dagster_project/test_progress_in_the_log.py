"""What of a stage's progress comes into Dagster's log."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dagster_project.resources import Pipeline
from spn4cir_core.engine.plugins import Settings
from spn4cir_core.engine.stage import Stage, Work


def test_a_long_stage_tells_how_far_it_is_every_ten_seconds_and_a_short_one_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, logged = [0.0], list[tuple[float, str]]()
    monkeypatch.setattr("spn4cir_core.engine.progress.time.monotonic", lambda: clock[0])
    log = SimpleNamespace(info=lambda line: logged.append((clock[0], line)))
    context: Any = SimpleNamespace(log=log, run=SimpleNamespace(asset_selection=None))

    def stage(name: str, seconds: int) -> Stage:
        def write(work: Work) -> None:
            for done in range(1, 4 * seconds + 1):
                clock[0] += 0.25
                work.progress("captioning", done, 4 * seconds)

        return Stage(name, (), Settings, 1, write)

    pipeline = Pipeline(recipe="demo", store=str(tmp_path))
    pipeline.materialize(context, stage("images", 3600))
    lines = [line for _, line in logged if line.startswith("captioning: ")]
    assert len(lines) == 360 and lines[0] == "captioning: 40 of 14,400 (4.0/s, about 3,590 s left)"
    assert min(later - time for (time, _), (later, _) in pairwise(logged)) >= 10
    before = len(logged)
    pipeline.materialize(context, stage("templates", 5))
    assert len(logged) == before
