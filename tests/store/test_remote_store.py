"""The store behind a URL, on a real S3 server: nothing lost, nothing half-read, equal bytes, whatever is cut."""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from dagster_project.resources import pipeline_from_environment
from spn4cir_core.cli.app import app
from spn4cir_core.engine.batches import RowJob, fill
from spn4cir_core.engine.progress import silent
from spn4cir_core.errors import AlreadyWritten, StoreError, StoreLocked, StoreUnreachable
from spn4cir_core.operations.checks import RecipeArtifacts
from spn4cir_core.operations.doctor import server
from spn4cir_core.store import remote_locks
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.remote_files import RemoteFiles
from spn4cir_core.store.remote_store import RemoteArtifact, open_store
from spn4cir_core.store.rows import Rows
from tests.pipelines import tiny_recipe_file
from tests.s3_servers import SECRET, BadLine, Cloud

ROOT = Path(__file__).parents[2]
BIG_BYTES = 300_000


def write(store: Store, fingerprint: str = "abc") -> Artifact:
    with store.writing("things", fingerprint, {"settings": {"x": 1}}) as draft:
        draft.write_table(pa.table({"id": ["a", "b"]}), "things.parquet")
        draft.file("deep/big.npy").write_bytes(np.random.default_rng(7).bytes(BIG_BYTES))
        draft.rows = 2
    artifact = store.get("things", fingerprint)
    assert artifact is not None
    store.point("mine", artifact)
    return artifact


def current(store: Store) -> Artifact:
    artifact = store.current("mine", "things")
    assert artifact is not None
    return artifact


def test_behind_the_url_lie_the_files_of_a_local_store(cloud: Cloud) -> None:
    write(cloud.machine())
    local = Store(cloud.root / "local")
    write(local)
    local_files = {path.relative_to(local.root).as_posix(): path for path in local.root.rglob("*") if path.is_file()}
    local_files = {name: path for name, path in local_files.items() if not name.startswith(("locks/", "checked/"))}
    remote = cloud.files()
    assert remote.keys() == local_files.keys(), "the lock object is gone, too"
    for name, path in local_files.items():
        same = {**json.loads(path.read_text()), "seconds": 0} if name.endswith("summary.json") else path.read_bytes()
        other = {**json.loads(remote[name]), "seconds": 0} if name.endswith("summary.json") else remote[name]
        assert other == same, name


def test_another_machine_reads_it_and_fetches_a_file_when_it_is_first_read(cloud: Cloud) -> None:
    write(cloud.machine("one"))
    store = cloud.machine("two")
    artifact = current(store)
    assert sorted(path.name for path in artifact.path.rglob("*") if path.is_file()) == ["summary.json"]
    assert artifact.table()["id"].to_pylist() == ["a", "b"]
    assert not (artifact.path / "deep").exists()
    assert artifact.file("deep/big.npy").stat().st_size == BIG_BYTES
    assert artifact.location == f"{cloud.url}/things/abc" and str(store) == cloud.url
    with pytest.raises(AlreadyWritten):
        write(cloud.machine("three"))
    with pytest.raises(StoreError, match="no file 'x'"):
        artifact.file("x")


def test_pointers_are_those_behind_the_url(cloud: Cloud) -> None:
    one, two = cloud.machine("one"), cloud.machine("two")
    assert one.current("mine", "things") is None
    write(one, "first")
    write(two, "second")
    assert current(one).fingerprint == "second"
    before = one.before("mine", "things")
    assert before is not None and before.fingerprint == "first"
    RemoteFiles(cloud.url).write("recipes/mine/things.json", b"[")
    with pytest.raises(StoreError, match=f"{cloud.url}/recipes/mine/things.json is damaged"):
        one.current("mine", "things")


@pytest.mark.parametrize("name", ["things.parquet", "deep/big.npy", "summary.json"])
def test_a_damaged_object_is_named_and_never_read(cloud: Cloud, name: str) -> None:
    write(cloud.machine("one"))
    files, key = RemoteFiles(cloud.url), f"things/abc/{name}"
    data = files.read(key)
    assert data is not None
    files.write(key, data.replace(b"2", b"3", 1) if name == "summary.json" else data[:-9] + b"x" + data[-8:])
    with pytest.raises(StoreError, match=f"{cloud.url}/things/abc/{name} .*damaged.*Delete {cloud.url}/things/abc"):
        current(cloud.machine("two")).file(name)
    assert not (cloud.machine("two").root / key).exists()
    if name != "summary.json":
        with pytest.raises(StoreError, match="damaged"):
            current(cloud.machine("one")).verify()  # although this machine has the good bytes


def test_what_was_deleted_behind_the_url_counts_as_missing_and_is_written_anew(cloud: Cloud) -> None:
    write(cloud.machine("one"))
    assert current(cloud.machine("two")).summary["rows"] == 2
    files = RemoteFiles(cloud.url)
    for name in list(files.sizes("things/abc")):
        files.delete(f"things/abc/{name}")
    store = cloud.machine("two")
    assert store.current("mine", "things") is None
    write(store)
    assert current(cloud.machine("three")).table().num_rows == 2


def test_files_shared_with_an_artefact_behind_the_url_are_copied_there_and_not_uploaded(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, sent = RemoteFiles.send, list[str]()

    def recorded(files: RemoteFiles, path: Path, name: str, patience_s: float | None = None) -> None:
        sent.append(name)
        send(files, path, name, patience_s)

    monkeypatch.setattr(RemoteFiles, "send", recorded)
    store = cloud.machine("one")
    write(store, "first")
    for fingerprint, uploaded in {"second": False, "third": True}.items():
        sent.clear()
        earlier = current(store)
        with store.writing("things", fingerprint, {"settings": {"x": 2}}) as draft:
            earlier.share("deep/big.npy", draft, "shard.npy")
            draft.write_table(pa.table({"id": ["c"]}), "things.parquet")
        made = store.get("things", fingerprint)
        assert made is not None
        assert (f"things/{fingerprint}/shard.npy" in sent) == uploaded
        assert {f"things/{fingerprint}/things.parquet", f"things/{fingerprint}/summary.json"} <= set(sent)
        other = cloud.machine("two").get("things", fingerprint)
        assert other is not None
        other.verify()
        assert other.file("shard.npy").read_bytes() == earlier.file("deep/big.npy").read_bytes()
        RemoteFiles(cloud.url).delete("things/first/deep/big.npy")  # the third must upload: the source is gone


def test_a_summary_never_names_a_file_outside_its_folder(cloud: Cloud) -> None:
    made = write(cloud.machine())
    files = {"../../../out": {"bytes": 1, "sha256": "x"}}
    bad = RemoteArtifact("things", made.path, {**made.summary, "files": files}, RemoteFiles(cloud.url))
    with pytest.raises(StoreError, match=r"names the file '\.\./\.\./\.\./out'"):
        bad.file("../../../out")


def test_a_line_that_is_cut_at_random_moments_loses_nothing(cloud: Cloud, s3_port: int) -> None:
    cloud.patch.setattr("spn4cir_core.store.remote_files.LONGEST_PAUSE_S", 0.3)
    with BadLine(s3_port, seed=5, cuts=0.5, reach=BIG_BYTES) as line:
        cloud.through(line.port)
        for number in range(3):
            write(cloud.machine("one"), f"m{number}")
        reader = cloud.machine("two")
        for number in range(3):
            artifact = reader.get("things", f"m{number}")
            assert artifact is not None
            artifact.verify()
            assert not list(reader.root.rglob("*.tmp"))
        assert line.cut >= 5
        assert current(reader).fingerprint == "m2"
        cloud.through(s3_port)


def test_a_server_that_is_down_for_a_while_is_waited_for(
    cloud: Cloud, s3_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "spn4cir_core")
    with BadLine(s3_port) as line:
        cloud.through(line.port)
        store = cloud.machine()
        write(store)
        line.down = True
        line.hang_up()
        mend = threading.Timer(1.5, setattr, (line, "down", False))
        mend.start()
        assert current(store).fingerprint == "abc"
        assert not mend.is_alive()
        cloud.through(s3_port)
    assert "does not answer" in caplog.text and SECRET not in caplog.text


def test_what_a_cut_upload_left_is_uploaded_by_the_next_run_and_not_made_again(cloud: Cloud, s3_port: int) -> None:
    cloud.patch.setenv("SPN4CIR_STORE_PATIENCE_S", "0.4")
    with BadLine(s3_port) as line:
        cloud.through(line.port)
        store = cloud.machine("one")
        with (
            pytest.raises(StoreUnreachable, match=f"{cloud.url}/.* does not answer.*run again") as raised,
            store.writing("things", "abc", {}) as draft,
        ):
            draft.file("a.bin").write_bytes(b"1" * 1000)
            draft.rows = 1
            line.fail()
        assert SECRET not in str(raised.value) and raised.value.passing
        line.down = False
        assert cloud.machine("two").get("things", "abc") is None
        store = cloud.machine("one")
        artifact = store.get("things", "abc")
        assert artifact is not None, "whole on this machine"
        store.point("mine", artifact)
        assert current(cloud.machine("two")).file("a.bin").read_bytes() == b"1" * 1000
        cloud.through(s3_port)


UPLOADS = """
from spn4cir_core.store.remote_store import open_store
import sys
import threading
store = open_store(sys.argv[1])
with store.writing("things", "abc", {}) as draft:
    draft.file("a.bin").write_bytes(b"1" * 1000)
    draft.file("b.bin").write_bytes(b"2" * 400_000)
    draft.rows = 1
"""


def test_kill_9_amid_an_upload_leaves_nothing_that_counts(cloud: Cloud, s3_port: int) -> None:
    store = cloud.machine("one")
    with BadLine(s3_port) as line:
        line.stalls_after = 100_000  # amid b.bin
        endpoint = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{line.port}", "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen([sys.executable, "-c", UPLOADS, cloud.url], env={**os.environ, **endpoint})
        assert line.stalled.wait(120) and process.poll() is None
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert "things/abc/summary.json" not in cloud.files()
    assert cloud.machine("two").get("things", "abc") is None
    # the endpoint is part of what names a working folder; the killed machine goes on under its own name
    killed = next((cloud.root / "one").glob("*/things/abc")).parents[1]
    store.root = killed
    artifact = store.get("things", "abc")
    assert artifact is not None
    store.point("mine", artifact)
    assert current(cloud.machine("three")).file("b.bin").read_bytes() == b"2" * 400_000


def lengths(store: Store, words: Sequence[str], computed: list[str]) -> dict[str, int]:
    """Rows as stages keep them, inside the writing of an artefact."""

    def compute(batch: list[Any]) -> pa.Array:
        computed.extend(batch)
        return pa.array([len(word) for word in batch])

    fingerprint = f"words{len(words)}"
    with store.writing("lengths", fingerprint, {}) as draft:
        rows = Rows(store.rows("lengths", "model"), pa.int64())
        items = {word: word for word in words}
        fill(RowJob("words", rows, items, str, compute, 2, 2, 1), silent, defaultdict(float))
        result = rows.values(items)
        draft.write_json(result, "lengths.json")
    return result


def test_rows_are_shared_among_machines_and_a_grown_corpus_computes_only_new_ones(cloud: Cloud) -> None:
    computed: list[str] = []
    lengths(cloud.machine("one"), ["a", "bb", "ccc", "dddd", "eeeee"], computed)
    assert len(computed) == 5
    more: list[str] = []
    assert lengths(cloud.machine("two"), ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"], more)["ffffff"] == 6
    assert more == ["ffffff"]
    part = next(name for name in cloud.files() if name.startswith("rows/"))
    files = RemoteFiles(cloud.url)
    files.write(part, (files.read(part) or b"")[:-7])
    with pytest.raises(StoreError, match=f"{cloud.url}/{part} is damaged. Delete it and run again: its rows come anew"):
        lengths(cloud.machine("three"), ["a"], [])


def test_shards_are_uploaded_while_the_stage_still_computes(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spn4cir_core.store.remote_store.KEEP_UP_EVERY_S", 0.05)
    store, files = cloud.machine(), RemoteFiles(cloud.url)
    with pytest.raises(ZeroDivisionError), store.writing("lengths", "x", {}):
        Rows(store.rows("lengths", "model"), pa.int64()).append(["a"], pa.array([1]))
        deadline = time.monotonic() + 60
        while not files.sizes("rows") and time.monotonic() < deadline:
            time.sleep(0.05)
        raise ZeroDivisionError
    assert len(files.sizes("rows/lengths/model")) == 1
    assert not files.sizes("locks") and not files.sizes("lengths")


@pytest.fixture
def quick_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BEAT_S": 0.1, "LOOK_EVERY_S": 0.05, "DEAD_AFTER_S": 1.5}.items():
        monkeypatch.setattr(remote_locks, name, value)


@pytest.mark.usefixtures("quick_locks")
def test_a_second_machine_says_who_writes_or_takes_over_from_a_dead_one(cloud: Cloud) -> None:
    with cloud.machine("one").writing("things", "abc", {}) as draft:
        draft.rows = 1
        message = rf"things abc is being written by another machine \(process {os.getpid()} on .*wait for it"
        with pytest.raises(StoreLocked, match=message), cloud.machine("two").writing("things", "abc", {}):
            pass
    dead = b'{"owner": "process 7 on gone", "place": "elsewhere", "token": "t", "beats": 3}'
    RemoteFiles(cloud.url).write("locks/things-other", dead)
    write(cloud.machine("two"), "other")
    assert "locks/things-other" not in cloud.files()


def test_a_machine_whose_lock_was_taken_away_publishes_nothing(cloud: Cloud) -> None:
    with (
        pytest.raises(StoreError, match="another machine has gone on with it"),
        cloud.machine("one").writing("things", "abc", {}),
    ):
        RemoteFiles(cloud.url).write("locks/things-abc", b'{"token": "of another"}')
    assert "things/abc/summary.json" not in cloud.files()


def test_a_killed_process_of_this_machine_is_not_waited_for(cloud: Cloud) -> None:
    store = cloud.machine("one")
    mine = json.dumps({"owner": "process 7", "place": store._machine(), "token": "t", "beats": 3}).encode()
    RemoteFiles(cloud.url).write("locks/things-abc", mine)
    started = time.monotonic()
    write(store)
    assert time.monotonic() - started < remote_locks.DEAD_AFTER_S / 2


def test_credentials_come_from_the_environment_and_go_nowhere(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "spn4cir_core")
    store = cloud.machine()
    write(store)
    everything = b"".join(cloud.files().values()) + caplog.text.encode()
    everything += b"".join(path.read_bytes() for path in store.root.rglob("*") if path.is_file())
    assert SECRET.encode() not in everything and b"AKIAEXAMPLE" not in everything
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        cloud.patch.delenv(name)
    cloud.patch.setenv("HOME", str(cloud.root))
    cloud.through(1)
    with pytest.raises(StoreError, match=f"{cloud.url} refuses: .*Check the credentials in the environment"):
        cloud.machine().current("mine", "things")


@pytest.mark.parametrize("url", [f"s3://me:{SECRET}@bucket/x", f"s3://bucket/x?secret={SECRET}"])
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(StoreError, match="credentials come from the environment") as raised:
        open_store(url)
    assert SECRET not in str(raised.value)


def test_a_bucket_that_is_not_there_is_said_before_anything_is_computed(cloud: Cloud) -> None:
    cloud.url = "s3://nowhere/x"
    with pytest.raises(StoreError, match=r"cannot write s3://nowhere/x/locks/things-abc: .*Make the bucket"):
        write(cloud.machine())


def test_folders_and_urls_open_the_store_they_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPN4CIR_CACHE", str(tmp_path / "cache"))
    assert type(open_store(tmp_path)) is Store and open_store(tmp_path).root == tmp_path
    assert open_store(f"file://{tmp_path}").root == tmp_path
    one, other = open_store("memory://x/one/"), open_store("memory://x/other")
    assert str(one) == "memory://x/one" and one.root.parent == tmp_path / "cache" and one.root != other.root
    assert str(pickle.loads(pickle.dumps(one))) == str(one)  # noqa: S301  as pools of processes do it
    write(one)
    assert current(one).table().num_rows == 2 and other.current("mine", "things") is None
    with pytest.raises(StoreError, match="not a store"):
        open_store("nonsense://x").current("mine", "things")
    with pytest.raises(StoreError, match="open_store"):
        Store("s3://bucket/x")


@pytest.mark.parametrize("given", ["soon", "-1", "inf"])
def test_a_patience_that_is_no_number_of_seconds_is_named(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPN4CIR_STORE_PATIENCE_S", given)
    with pytest.raises(StoreError, match=f"SPN4CIR_STORE_PATIENCE_S='{given}'"):
        RemoteFiles("memory://y").read("a")


def test_the_command_line_dagster_and_the_doctor_take_the_url(
    cloud: Cloud, s3_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(cloud.machine())
    recipe = str(tiny_recipe_file(cloud.root))
    listed = CliRunner().invoke(app, ["status", "--recipe", recipe, "--store", cloud.url])
    assert listed.exit_code == 0 and listed.output.count("would run") >= 10, listed.output
    monkeypatch.setenv("SPN4CIR_STORE", cloud.url)
    _, store = pipeline_from_environment().load()
    assert str(store) == cloud.url
    with pytest.raises(StoreError, match=f"no captions in {cloud.url}"):
        RecipeArtifacts("mine", store)("captions")
    (row,) = server(store)
    assert row.state == "ok" and cloud.url in row.finding
    cloud.patch.setenv("SPN4CIR_STORE_PATIENCE_S", "0")
    with BadLine(s3_port) as line:
        line.fail()
        cloud.through(line.port)
        (row,) = server(cloud.machine())
    assert row.state == "broken" and "does not answer" in row.cure
    assert not list(server(Store(cloud.root / "local")))
