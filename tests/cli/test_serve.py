from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spn4cir_core.cli.serve import listening_socket, search_app
from spn4cir_core.errors import InputError, MissingExtra, StoreError
from spn4cir_core.search.stage import SEARCH_INDEX
from tests.measured_store import measured_store, recipe


def test_another_host_needs_a_token() -> None:
    for host in ("0.0.0.0", "::"):
        with pytest.raises(InputError, match="SPN4CIR_TOKEN"):
            listening_socket(host, 0, "")
    with pytest.raises(InputError, match="has 6 characters"):
        listening_socket("0.0.0.0", 0, "secret")
    with listening_socket("0.0.0.0", 0, "a secret of some length") as bound:
        assert bound.getsockname()[1] > 0


@pytest.mark.parametrize("token", ["geheim\u00fcber alles sehr", "two\nlines of a header"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_told(token: str) -> None:
    with pytest.raises(InputError, match="printable ASCII") as refused:
        listening_socket("127.0.0.1", 0, token)
    assert token not in str(refused.value)


def test_small_answers_are_sent_at_once() -> None:
    with listening_socket("127.0.0.1", 0, "") as bound:
        assert bound.proto == socket.IPPROTO_TCP, "asyncio turns Nagle's algorithm off where the protocol is named only"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_needs_none(host: str) -> None:
    with listening_socket(host, 0, "") as bound:
        assert bound.getsockname()[0] in ("127.0.0.1", "127.0.0.2", "::1")


def test_addresses_that_cannot_be_bound_are_refused() -> None:
    with pytest.raises(InputError, match="--host"):
        listening_socket("no such host.invalid", 0, "")
    with listening_socket("127.0.0.1", 0, "") as bound, pytest.raises(InputError, match="try another --port"):
        listening_socket("127.0.0.1", bound.getsockname()[1], "")


def test_a_store_without_index_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    store = measured_store(tmp_path)
    with pytest.raises(StoreError, match="has no search index"):
        search_app(recipe(tmp_path / "pictures"), store, "")


@pytest.mark.parametrize("package", ["fastapi", "python_multipart"])
def test_a_missing_package_says_what_to_install(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "spn4cir_core.search.api", raising=False)
    store = measured_store(tmp_path)
    with pytest.raises(MissingExtra, match=rf"'{package}' is not installed.*spn4cir\[serve\]"):
        search_app(recipe(tmp_path / "pictures"), store, "")


@contextmanager
def command(*words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    line = [sys.executable, "-m", "spn4cir_core.cli.app", "serve", *words]
    started = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    try:
        yield started
    finally:
        started.terminate()
        started.wait(30)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command's options for a store with an index."""
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    folder = tmp_path_factory.mktemp("served")
    store, measured = measured_store(folder), recipe(folder / "pictures")
    SEARCH_INDEX.run(measured, store)
    toml = folder / "measured.toml"
    toml.write_text(f'base = "folder"\nname = "{measured.name}"\n')
    return "--recipe", str(toml), "--store", str(store.root), "--port", "0", "--images", str(folder / "pictures")


def test_the_command_answers_only_to_the_token(options: tuple[str, ...]) -> None:
    with command(*options, SPN4CIR_TOKEN="secret") as running:
        assert running.stdout is not None
        address = running.stdout.readline().split()[2]
        images = urllib.request.Request(address + "api/images?count=3")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(images, timeout=30)
        images.add_header("Authorization", "Bearer secret")
        with urllib.request.urlopen(images, timeout=30) as answer:
            assert answer.status == 200 and b"toys/" in answer.read()


def test_sigterm_ends_the_server_while_a_request_is_half_sent(options: tuple[str, ...]) -> None:
    head = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    with command(*options, SPN4CIR_TOKEN="") as running:
        assert running.stdout is not None
        port = int(running.stdout.readline().split()[2].rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 120) as client:
            client.sendall(head + kind)
            assert client.recv(100).startswith(b"HTTP/1.1 100"), "the server waits for the body"
            client.sendall(b"--x\r\n")
            running.terminate()
            assert running.wait(120) == -signal.SIGTERM


def test_a_worker_that_is_killed_is_replaced_and_the_figures_are_of_all(options: tuple[str, ...]) -> None:
    form = urllib.parse.urlencode({"text": "a red circle", "query": "text", "top": 1}).encode()
    with command(*options, "--workers", "2", SPN4CIR_TOKEN="") as running:
        assert running.stdout is not None
        address = running.stdout.readline().split()[2]
        with urllib.request.urlopen(address + "api/search", form, timeout=300) as answer:
            right = answer.read()
        _wait_for(address, 1)
        before = _workers(running.pid)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        while before[0] in (now := _workers(running.pid)) or len(now) < 2:
            assert running.poll() is None
            time.sleep(0.1)
        for _ in range(4):
            with urllib.request.urlopen(address + "api/search", form, timeout=300) as answer:
                assert answer.read() == right
        _wait_for(address, 5)
        running.terminate()
        assert running.wait(120) == 0


def _wait_for(address: str, searches: int) -> None:
    """A worker counts a search once its answer has been sent: the client may be faster."""
    line, figures = f'spn4cir_requests_total{{route="/api/search",status="200"}} {searches}.0', ""
    for _ in range(100):
        with urllib.request.urlopen(address + "metrics", timeout=300) as answer:
            figures = answer.read().decode()
        if line in figures:
            return
        time.sleep(0.1)
    raise AssertionError(f"not {line} in 10 s, but {figures}")


def _workers(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_workers_are_not_started_without_an_index(tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    line = [sys.executable, "-m", "spn4cir_core.cli.app", "serve", "--recipe", "demo", "--port", "0", "--workers", "2"]
    ended = subprocess.run([*line, "--store", str(tmp_path / "s")], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1 and "has no search index" in ended.stderr
