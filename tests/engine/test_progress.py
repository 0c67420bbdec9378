from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from spn4cir_core.engine.progress import Throttled, without_loading_bar


def test_bars_of_transformers_are_as_they_were_once_the_weights_are_loaded() -> None:
    from huggingface_hub import utils
    from transformers.utils import logging

    hub: Any = utils
    bars: Any = logging

    def state() -> tuple[bool, bool]:
        return bars.is_progress_bar_enabled(), hub.are_progress_bars_disabled()

    before = state()
    try:
        for weights in (True, False):
            for downloads in (True, False):
                (bars.enable_progress_bar if weights else bars.disable_progress_bar)()
                (hub.enable_progress_bars if downloads else hub.disable_progress_bars)()
                with pytest.raises(OSError), without_loading_bar():
                    assert state() == (False, not downloads)
                    raise OSError
                assert state() == (weights, not downloads)
    finally:
        (bars.enable_progress_bar if before[0] else bars.disable_progress_bar)()
        (hub.disable_progress_bars if before[1] else hub.enable_progress_bars)()


def test_the_rate_and_the_time_left_are_those_of_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, lines = iter([0.0, 0.0, 20.0]), list[str]()
    monkeypatch.setattr("spn4cir_core.engine.progress.time.monotonic", lambda: next(clock))
    throttled = Throttled(lines.append)
    throttled("stage1", 900, 1000)
    throttled("stage1", 940, 1000)
    assert lines == ["stage1: 940 of 1,000 (2.0/s, about 30 s left)"]


def test_another_pass_under_the_same_label_has_a_rate_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, lines = iter([0.0, 0.0, 10.0, 20.0]), list[str]()
    monkeypatch.setattr("spn4cir_core.engine.progress.time.monotonic", lambda: next(clock))
    throttled = Throttled(lines.append)
    throttled("image inputs", 900, 900)
    throttled("image inputs", 0, 300)
    throttled("image inputs", 100, 300)
    assert lines[-1] == "image inputs: 100 of 300 (10.0/s, about 20 s left)"


def test_a_line_at_most_every_ten_seconds_whatever_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, lines = [0.0], list[tuple[float, str]]()
    monkeypatch.setattr("spn4cir_core.engine.progress.time.monotonic", lambda: clock[0])
    throttled = Throttled(lambda line: lines.append((clock[0], line)))
    for label, steps in (("captions", 400), ("ranks", 3), ("embedding", 100)):
        for done in range(1, steps + 1):
            clock[0] += 0.25
            throttled(label, done, steps)
    times = [time for time, _ in lines]
    assert len(lines) == int(clock[0] // 10) and all(later - time >= 10 for time, later in pairwise(times))
    assert lines[0][1] == "captions: 40 of 400 (4.0/s, about 90 s left)" and "embedding" in lines[-1][1]


def test_work_of_unknown_size_and_work_that_stands_still() -> None:
    lines: list[str] = []
    throttled = Throttled(lines.append, every_s=0)
    throttled("scan", 7, 0)
    assert lines == ["scan: 7"]
