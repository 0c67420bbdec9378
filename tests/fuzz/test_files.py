"""No file, however damaged, makes a reader fail with anything but an error that says what to do."""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spn4cir_core.errors import Spn4cirError
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.fingerprints import fingerprint
from tests.fuzz.inputs import bent, damaged, fuzzed, json_bytes
from tests.fuzz.readers import CIRCO, CIRR, FASHIONIQ, NETWORK, READERS, SUMMARY_BODY


def read(name: str, data: bytes) -> None:
    """Read the bytes; any other exception than one of this package's is a bug."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / READERS[name].name
        path.write_bytes(data)
        try:
            READERS[name].read(path)
        except Spn4cirError as error:
            assert str(error)


@pytest.mark.parametrize("name", READERS)
def test_samples_are_read(name: str) -> None:
    for sample in READERS[name].samples:
        read(name, sample)


@pytest.mark.parametrize("name", READERS)
def test_damaged_bytes_are_read_or_a_clear_error(name: str) -> None:
    @fuzzed
    @given(damaged(READERS[name].samples))
    def attempt(data: bytes) -> None:
        read(name, data)

    attempt()


ONCE_FAILED = [
    ("recipe.toml", b"base = " + b"[" * 3000),
    ("templates.toml", b"[sets]\nown = " + b"[" * 3000),
    ("grid.toml", b"seeds = " + b"[" * 3000),
    ("grid.toml", b'base = "' + b"x" * 3000 + b'"\n[axes.a.b.pairs]\nper_reference = 1\n'),
    ("model.pt", bytes.fromhex("2ec51ee2bdf10808") + bytes(16) + b"\x08\x08" + bytes(11)),
    ("metrics.jsonl", b"[1]"),
    ("pointer.json", b'{"before": "../../elsewhere"}'),
    ("summary.json", b'{"files": {"a": 1}}'),
    ("network.json", b'{"backbone": {}}'),
    ("captions.csv", b"file\na.png,a red dress\n"),
]


@pytest.mark.parametrize(("name", "data"), ONCE_FAILED)
def test_what_once_failed_is_a_clear_error(name: str, data: bytes) -> None:
    read(name, data)


STRUCTURES: dict[str, Any] = {
    "fashioniq.json": FASHIONIQ,
    "cirr.json": CIRR,
    "circo.json": CIRCO,
    "fashioniq splits": ["B001"],
    "cirr splits": {"a": "./dev/a.png"},
    "captions.json": [{"file": "a.png", "caption": ["red", "blue"]}],
    "submission.json": {"version": "rc2", "metric": "recall", "1": ["b", "a"]},
    "summary.json": SUMMARY_BODY,
    "pointer.json": {"fingerprint": "abc", "before": None},
    "network.json": NETWORK,
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_valid_json_of_another_structure_is_read_or_a_clear_error(name: str) -> None:
    @fuzzed
    @given(bent(STRUCTURES[name]))
    def attempt(value: Any) -> None:
        read(name, json_bytes(value))

    attempt()


@pytest.mark.parametrize("name", ["import.jsonl", "metadata.jsonl", "metrics.jsonl"])
def test_lines_of_another_structure_are_read_or_a_clear_error(name: str) -> None:
    lines = [json.loads(line) for line in READERS[name].samples[0].splitlines()]

    @fuzzed
    @given(st.lists(st.one_of(*map(bent, lines)), max_size=4))
    def attempt(values: list[Any]) -> None:
        read(name, b"\n".join(map(json_bytes, values)))

    attempt()


def test_a_summary_with_a_right_mark_and_wrong_parts_is_a_clear_error() -> None:
    @fuzzed
    @given(bent(SUMMARY_BODY))
    def attempt(body: Any) -> None:
        if isinstance(body, dict):
            plain = json.loads(json.dumps(body))
            try:
                plain = {**plain, "summary_mark": fingerprint(plain)}
            except UnicodeEncodeError:
                return
            read("summary.json", json_bytes(plain))

    attempt()


def test_a_recipe_of_another_structure_is_loaded_or_a_clear_error() -> None:
    tables = load_recipe("demo").model_dump(mode="json")

    @fuzzed
    @given(bent(tables))
    def attempt(overrides: Any) -> None:
        if isinstance(overrides, dict):
            try:
                fingerprint(load_recipe("demo", overrides))
            except Spn4cirError as error:
                assert str(error)

    attempt()
