from __future__ import annotations

from typing import Any

import pytest

from spn4cir_core.progress import Throttled, without_loading_bar


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
    clock, said = iter([0.0, 0.0, 20.0]), []
    monkeypatch.setattr("spn4cir_core.progress.time.monotonic", lambda: next(clock))
    throttled = Throttled(said.append)
    throttled("stage1", 900, 1000)
    throttled("stage1", 940, 1000)
    assert said == ["stage1: 940 of 1,000 (2.0/s, about 30 s left)"]
