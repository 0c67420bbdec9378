from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spn4cir_core.engine.batches import RowJob, fill
from spn4cir_core.engine.child_processes import is_alive
from spn4cir_core.engine.progress import silent
from spn4cir_core.errors import LaunchError, Spn4cirError
from spn4cir_core.store.rows import KEY, VALUE, Rows


def read_with_processes(folder: Path, read: Callable[[int], Any], numbers: range) -> dict[str, int]:
    rows = Rows(folder, pa.int64())
    fill(
        RowJob(
            "x",
            rows,
            {f"{number:02d}": number for number in numbers},
            read,
            lambda items: pa.array(items, pa.int64()),
            4,
            4,
            2,
            "processes",
        ),
        silent,
        defaultdict(float),
    )
    return {
        key: value
        for part in rows.scan()
        for key, value in zip(part[KEY].to_pylist(), part[VALUE].to_pylist(), strict=True)
    }


def wait_for(file: Path, number: int) -> int:
    """A reading that keeps its process busy until a file is there, so that the pool has to start another process."""
    while not file.exists():
        time.sleep(0.01)
    return number


def test_processes_read_what_threads_read(tmp_path: Path) -> None:
    assert read_with_processes(tmp_path, abs, range(-4, 6)) == {f"{n:02d}": abs(n) for n in range(-4, 6)}


def test_nothing_to_read_starts_nothing(tmp_path: Path) -> None:
    assert read_with_processes(tmp_path, os._exit, range(0)) == {}


def test_a_reading_process_that_dies_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="a process that reads pictures died"):
        read_with_processes(tmp_path, os._exit, range(4))


def test_a_process_that_dies_while_another_starts_is_the_same_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = SpawnProcess.start, []
    second_start = tmp_path / "second_start"

    def closed_from_the_second_on(process: SpawnProcess) -> None:
        started.append(process)
        if len(started) > 1:
            second_start.touch()
            raise OSError("handle is closed")  # what the pool gives while it buries a process that has died
        start(process)

    monkeypatch.setattr(SpawnProcess, "start", closed_from_the_second_on)
    with pytest.raises(LaunchError, match="a process that reads pictures died"):
        read_with_processes(tmp_path / "rows", partial(wait_for, second_start), range(4))


def test_why_no_process_can_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(process: SpawnProcess) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(SpawnProcess, "start", out_of_memory)
    with pytest.raises(Spn4cirError, match=r"worker processes cannot start: .*Cannot allocate memory"):
        read_with_processes(tmp_path, abs, range(4))


def test_a_process_is_alive_until_it_has_ended() -> None:
    process = subprocess.Popen(["sleep", "60"])
    assert is_alive(process.pid) and is_alive(1), "whoever's it is"
    process.kill()
    process.wait()
    assert not is_alive(process.pid)


def test_a_script_without_the_main_guard_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('script')\n"
        "import os\n"
        "from spn4cir_core.engine.child_processes import child_processes\n"
        "with child_processes(2) as pool:\n"
        "    print(len({pool.submit(os.getpid).result(), os.getpid()}))\n"
    )
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["script", "2"]
