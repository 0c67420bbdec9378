from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from spn4cir_core.engine.plugins import Plugin, Settings
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint, OmitFromFingerprint, fingerprint, plain


class Before(Settings):
    rate: float = 0.1


class Now(Settings):
    rate: float = 0.1
    workers: Annotated[int, OmitFromFingerprint()] = 2
    rules: Annotated[tuple[str, ...], OmitDefaultFromFingerprint()] = ("a",)


class Rule(Plugin):
    plugin_kind: ClassVar[str] = "rule"
    most: int = 3


class ChangedRule(Rule):
    plugin_version: ClassVar[int] = 2


def test_what_cannot_change_a_result_is_left_out() -> None:
    assert plain(Now(workers=9)) == plain(Before()) == {"rate": 0.1}


def test_a_setting_that_came_later_counts_once_it_differs_from_what_was_done_before() -> None:
    assert fingerprint(Now(rules=("a",))) == fingerprint(Before())
    assert plain(Now(rules=("a", "b"))) == {"rate": 0.1, "rules": ["a", "b"]}


def test_a_plugins_version_stands_among_its_settings_from_2_on() -> None:
    assert plain({"rules": [Rule()]}) == {"rules": [{"kind": "rule", "most": 3}]}
    assert plain(ChangedRule()) == {"kind": "rule", "version": 2, "most": 3}


def test_values_of_other_kinds_are_reduced_to_json() -> None:
    assert plain({1: (Path("a") / "b", None)}) == {"1": ["a/b", None]}
    assert fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1}) != fingerprint({"a": 1, "b": 2})
