from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.triplets.verdicts import Verdict, read_verdicts, verdict_counts

Compose = Callable[..., Artifact]


def written(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["triplet_id,verdict,comment", *lines]) + "\n", encoding="utf-8")
    return str(path)


def ids(artifact: Artifact) -> list[str]:
    names: list[str] = artifact.table()["triplet_id"].to_pylist()
    return names


def test_verdicts_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "v.csv", "a,Reject,blurred", 'b,keep,"fine, really"', "c,,not sure", "a,keep,after all")
    assert read_verdicts(path) == {
        "a": Verdict("keep", "after all"),
        "b": Verdict("keep", "fine, really"),
    }
    assert read_verdicts(None) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"triplet_id,verdict\na,maybe\n", "line 2: verdict 'maybe' is neither keep nor reject"),
        (b"triplet_id\na\n", "no column 'verdict'"),
        (b"triplet_id,verdict\na,keep,x\n", "line 2: 3 values for 2 columns"),
        (b"triplet_id,verdict\n\xff,keep\n", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_verdicts(str(tmp_path / "v.csv"))
    with pytest.raises(InputError, match="cannot be read"):
        read_verdicts(str(tmp_path / "none.csv"))


def test_counts() -> None:
    counts = verdict_counts(
        {"a": Verdict("keep", ""), "b": Verdict("reject", ""), "x": Verdict("reject", "")}, ["a", "b", "c"]
    )
    assert counts == {"keep": 1, "reject": 1, "unknown": 1, "unknown_examples": ["x"]}


def test_people_overrule_gates_and_annotations(compose: Compose, rows: Any, tmp_path: Path) -> None:
    given = [rows.annotation("q", "a", "b")], [rows.pair("a", "d"), rows.pair("a", "b"), rows.pair("b", "c")]
    assert ids(compose(*given)) == ["annotated/q", "generated/a-b-1", "generated/b-c-2"]
    lines = "annotated/q,reject,", "generated/a-d-0,keep,", "generated/a-b-1,reject,wrong", "gone,reject,"
    artifact = compose(*given, verdicts=written(tmp_path / "v.csv", *lines))
    assert ids(artifact) == ["generated/a-d-0", "generated/b-c-2"]
    assert artifact.summary["drops"] == {"rejected by a person": 2}
    assert artifact.details["verdicts"] == {"keep": 1, "reject": 2, "unknown": 1, "unknown_examples": ["gone"]}


def test_only_what_the_verdicts_say_decides_what_is_reused(compose: Compose, rows: Any, tmp_path: Path) -> None:
    given = [], [rows.pair("a", "b"), rows.pair("b", "c")]
    one = compose(*given, verdicts=written(tmp_path / "one.csv", "generated/a-b-0,reject,", "x,keep,"))
    other = compose(*given, verdicts=written(tmp_path / "two.csv", "x,keep,why", "generated/a-b-0,reject,bad"))
    assert one.fingerprint == other.fingerprint != compose(*given).fingerprint
    assert (
        compose(*given, verdicts=written(tmp_path / "none.csv", "x,,")).fingerprint
        == compose(*given, verdicts=None).fingerprint
    )
