"""What is told on standard error, by level, on a terminal and off it."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator

import pytest

from spn4cir_core.cli.app import options_first
from spn4cir_core.engine.log_level import LOG_LEVEL, AboveBars, set_log_level
from spn4cir_core.engine.progress import Bars, Throttled, shown, silent
from spn4cir_core.errors import InputError


@pytest.fixture(autouse=True)
def levels_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    loggers = [logging.getLogger(), logging.getLogger("spn4cir_core")]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    monkeypatch.setenv(LOG_LEVEL, "")
    yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    for name in ("spn4cir_core.engine.stage", "another_package"):
        for level in ("debug", "info", "warning", "error"):
            getattr(logging.getLogger(name), level)("%s", f"{name.partition('.')[0]} {level}")
    return [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()]


def test_a_level_is_for_this_package_and_others_are_held_to_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    own, other = "spn4cir_core", "another_package"
    warned = [f"{other} warning", f"{other} error"]
    set_log_level("debug")
    everything = [f"{own} {level}" for level in ("debug", "info", "warning", "error")]
    assert said(capsys) == [*everything, f"{other} info", *warned]
    set_log_level("info")
    assert said(capsys) == [*everything[1:], *warned]
    set_log_level("warning")
    assert said(capsys) == [*everything[2:], *warned]
    set_log_level("error")
    assert said(capsys) == [everything[3], f"{other} error"]
    assert sum(isinstance(handler, AboveBars) for handler in logging.getLogger().handlers) == 1


def test_the_environment_decides_where_no_option_does_and_processes_inherit_the_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = logging.getLogger("spn4cir_core")
    set_log_level()
    assert own.level == logging.INFO
    monkeypatch.setenv(LOG_LEVEL, "Error")
    set_log_level()
    assert own.level == logging.ERROR
    set_log_level("debug")
    set_log_level()
    assert own.level == logging.DEBUG
    monkeypatch.setenv(LOG_LEVEL, "loud")
    with pytest.raises(InputError, match=r"'loud': it is one of debug, info, warning, error .*SPN4CIR_LOG_LEVEL"):
        set_log_level()


def test_bars_are_for_terminals_lines_for_files_and_nothing_for_those_who_want_warnings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_log_level("info")
    with shown() as progress:
        assert isinstance(progress, Throttled)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with shown() as progress:
        assert isinstance(progress, Bars)
    set_log_level("warning")
    with shown() as progress:
        assert progress is silent


def test_a_message_stands_above_the_bar_and_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    set_log_level("info")
    with shown() as progress:
        progress("captions", 3, 10)
        logging.getLogger("spn4cir_core.x").warning("mind the gap")
    lines = terminal.getvalue().replace("\r", "\n").splitlines()
    (line,) = [line for line in lines if "mind the gap" in line]
    assert "captions" not in line and "WARNING spn4cir_core.x" in line


def test_the_option_may_stand_anywhere() -> None:
    assert options_first(["run", "--log-level", "debug", "-r", "x"]) == ["--log-level", "debug", "run", "-r", "x"]
    assert options_first(["run", "--log-level=debug"]) == ["--log-level=debug", "run"]
    assert options_first(["--log-level", "debug", "run"]) == ["--log-level", "debug", "run"]
    assert options_first(["run", "-r", "x"]) == ["run", "-r", "x"]
    assert options_first(["run", "--log-level"]) == ["--log-level", "run"]
