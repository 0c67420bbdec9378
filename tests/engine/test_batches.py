from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from threading import Barrier

import pyarrow as pa
import pytest

from spn4cir_core.engine.batches import Preparation, RowJob, fill
from spn4cir_core.engine.child_processes import readers as readers_of
from spn4cir_core.engine.processes import Processes
from spn4cir_core.engine.progress import silent
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.store.rows import KEY, VALUE, GivenRows, Rows
from tests.processes_in_threads import together


class Doubler:
    """Doubles numbers and remembers what it read and in which batches it computed."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.batches: list[list[int]] = []

    def load(self, item: int) -> int:
        self.read.append(item)
        return item

    def compute(self, items: list[int]) -> pa.Array:
        self.batches.append(items)
        return pa.array([2 * item for item in items], pa.int64())


def run(folder: Path, count: int, readers: int = 2, batch_rows: int = 4, shard_rows: int = 8) -> tuple[int, Doubler]:
    work = Doubler()
    made = fill(
        RowJob(
            "doubling",
            Rows(folder, pa.int64()),
            {f"{number:04d}": number for number in range(count)},
            work.load,
            work.compute,
            batch_rows,
            shard_rows,
            readers,
        ),
        silent,
        defaultdict(float),
    )
    return made, work


def content(folder: Path) -> list[tuple[str, int]]:
    """Every kept row, sorted; a key that stands twice shows twice."""
    rows = [
        row
        for table in Rows(folder, pa.int64()).scan()
        for row in zip(table[KEY].to_pylist(), table[VALUE].to_pylist(), strict=True)
    ]
    return sorted(rows)


@pytest.mark.parametrize("readers", [1, 3])
def test_each_value_is_computed_once_in_batches_of_the_sorted_keys(tmp_path: Path, readers: int) -> None:
    made, work = run(tmp_path, 10, readers)
    assert made == 10 and work.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert content(tmp_path) == [(f"{number:04d}", 2 * number) for number in range(10)]
    assert len(Rows(tmp_path, pa.int64()).parts()) == 2
    made, work = run(tmp_path, 10, readers)
    assert made == 0 and work.read == []


@pytest.mark.parametrize("threads", [1, 3])
def test_readers_prepare_a_few_items_at_a_time_and_results_stay_in_order(tmp_path: Path, threads: int) -> None:
    """The threads wait for one another, so that as many groups are prepared at a time as there are threads."""
    groups, work, all_are_here = list[list[int]](), Doubler(), Barrier(threads)

    def prepare(loaded: list[int]) -> list[int]:
        all_are_here.wait(20)
        groups.append(loaded)
        return [10 * number for number in loaded]

    preparation = Preparation(prepare, 2, lambda readers: readers_of("threads", readers))
    items = {f"{number:04d}": number for number in range(15)}
    rows = Rows(tmp_path, pa.int64())
    job = RowJob("x", rows, items, work.load, work.compute, 5, 5, threads, preparation=preparation)
    seconds: defaultdict[str, float] = defaultdict(float)
    assert fill(job, silent, seconds) == 15
    assert set(seconds) == {"compute", "write"}, "readers that prepare compute"
    assert sorted(groups) == [[0, 1], [2, 3], [4], [5, 6], [7, 8], [9], [10, 11], [12, 13], [14]]
    assert work.batches == [[10 * number for number in range(start, start + 5)] for start in (0, 5, 10)]
    assert content(tmp_path) == [(key, 20 * number) for key, number in items.items()]


def test_an_error_while_preparing_ends_the_run(tmp_path: Path) -> None:
    def explode(loaded: list[int]) -> list[int]:
        raise ZeroDivisionError

    preparation = Preparation(explode, 2, lambda readers: readers_of("threads", readers))
    items, work = {str(number): number for number in range(9)}, Doubler()
    job = RowJob("x", Rows(tmp_path, pa.int64()), items, work.load, work.compute, 4, 4, 2, preparation=preparation)
    with pytest.raises(ZeroDivisionError):
        fill(job, silent, defaultdict(float))
    assert work.batches == []


def test_new_keys_cost_only_themselves(tmp_path: Path) -> None:
    run(tmp_path, 5)
    made, work = run(tmp_path, 9)
    assert made == 4 and sorted(work.read) == [5, 6, 7, 8]
    assert content(tmp_path) == [(f"{number:04d}", 2 * number) for number in range(9)]


def test_nothing_to_do(tmp_path: Path) -> None:
    assert run(tmp_path, 0)[0] == 0 and content(tmp_path) == []


def test_progress_and_seconds_are_told(tmp_path: Path) -> None:
    reported: list[tuple[str, int, int]] = []
    seconds: defaultdict[str, float] = defaultdict(float)
    work = Doubler()
    fill(
        RowJob(
            "x",
            Rows(tmp_path, pa.int64()),
            {str(number): number for number in range(5)},
            work.load,
            work.compute,
            2,
            3,
            1,
        ),
        lambda label, done, total: reported.append((label, done, total)),
        seconds,
    )
    assert reported == [("x", 0, 5), ("x", 2, 5), ("x", 4, 5), ("x", 5, 5)] and set(seconds) == {
        "read",
        "compute",
        "write",
    }


@pytest.mark.parametrize("values", [[1], [1, 2, 3, 4, 5], []])
def test_a_batch_gives_one_value_for_each_item_or_ends_the_run(tmp_path: Path, values: list[int]) -> None:
    rows, items, work = Rows(tmp_path, pa.int64()), {str(number): number for number in range(4)}, Doubler()
    job = RowJob("doubling", rows, items, work.load, lambda _: pa.array(values, pa.int64()), 4, 8, 1)
    with pytest.raises(InputError, match=f"doubling: {len(values)} answers for a batch of 4"):
        fill(job, silent, defaultdict(float))
    assert not rows.keys()


def test_an_error_in_a_batch_keeps_the_finished_shards(tmp_path: Path) -> None:
    def explode(items: list[int]) -> pa.Array:
        if 13 in items:
            raise ZeroDivisionError
        return pa.array([2 * item for item in items], pa.int64())

    work = Doubler()
    with pytest.raises(ZeroDivisionError):
        fill(
            RowJob(
                "x",
                Rows(tmp_path, pa.int64()),
                {f"{number:04d}": number for number in range(20)},
                work.load,
                explode,
                4,
                8,
                2,
            ),
            silent,
            defaultdict(float),
        )
    assert len(content(tmp_path)) == 8
    made, work = run(tmp_path, 20)
    assert made == 12 and work.batches == [[8, 9, 10, 11], [12, 13, 14, 15], [16, 17, 18, 19]]


KILLED_RUN = """
import os, signal, sys
from collections import defaultdict
from pathlib import Path
import pyarrow as pa
from spn4cir_core.engine.batches import RowJob, Rows, fill

def compute(items):
    if int(sys.argv[2]) in items:
        os.kill(os.getpid(), signal.SIGKILL)
    return pa.array([2 * item for item in items], pa.int64())

items = {f"{n:04d}": n for n in range(40)}
job = RowJob("x", Rows(Path(sys.argv[1]), pa.int64()), items, lambda item: item, compute, 4, 8, 2)
fill(job, lambda *_: None, defaultdict(float))
"""


@pytest.mark.parametrize("fatal", [0, 22, 39])
def test_a_killed_run_goes_on_and_loses_at_most_one_shard(tmp_path: Path, fatal: int) -> None:
    run(tmp_path / "unbroken", 40)
    killed = subprocess.run([sys.executable, "-c", KILLED_RUN, str(tmp_path / "killed"), str(fatal)], check=False)
    assert killed.returncode == -9
    before = len(content(tmp_path / "killed"))
    assert before == fatal // 8 * 8, "all shards before the fatal one are whole"
    made, _ = run(tmp_path / "killed", 40)
    assert made == 40 - before
    assert content(tmp_path / "killed") == content(tmp_path / "unbroken")


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    run(tmp_path, 3)
    (part,) = Rows(tmp_path, pa.int64()).parts()
    part.write_bytes(part.read_bytes()[:20])
    with pytest.raises(StoreError, match=f"{part.name} is damaged"):
        run(tmp_path, 3)


def test_values_of_the_wanted_keys_the_first_part_decides(tmp_path: Path) -> None:
    rows = Rows(tmp_path, pa.int64())
    rows.append(["a", "b"], pa.array([1, 2]))
    rows.append(["b", "c"], pa.array([9, 3]))
    assert rows.values({"b", "c", "d"}) == {"b": 2, "c": 3}


def test_the_part_that_was_written_first_decides_whatever_the_clock_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows(tmp_path, pa.string())
    for year, value in ((2040, "first"), (2020, "second"), (2060, "third")):
        monkeypatch.setattr("time.time_ns", lambda year=year: year * 10**15)
        rows.append(["a"], pa.array([value]))
    assert rows.values({"a"}) == {"a": "first"}
    rows.parts()[0].rename(tmp_path / "part-01790000000000000000-abcdef01.parquet")  # as an earlier version named it
    rows.append(["b"], pa.array(["later"]))
    assert [part.name[:25] for part in rows.parts()][-1] == "part-01790000000000000001"


def test_rows_without_a_value_are_not_kept(tmp_path: Path) -> None:
    rows = GivenRows(tmp_path, pa.string())
    rows.append(["a", "b"], pa.array([None, ""], pa.string()))
    rows.append(["c"], pa.array([None], pa.string()))
    assert rows.keys() == {"b"} and len(rows.parts()) == 1


def test_several_processes_compute_the_batches_of_one_each_once(tmp_path: Path) -> None:
    def part(processes: Processes) -> tuple[int, list[list[int]]]:
        work, reported = Doubler(), []
        made = fill(
            RowJob(
                "x",
                Rows(tmp_path / "three", pa.int64()),
                {f"{number:04d}": number for number in range(38)},
                work.load,
                work.compute,
                4,
                8,
                2,
            ),
            lambda label, done, total: reported.append(done),
            defaultdict(float),
            processes,
        )
        assert reported[0] == 0 and reported[-1] <= 38 and reported == sorted(reported)
        return made, work.batches

    result = together(3, part)
    _, alone = run(tmp_path / "one", 38)
    assert [made for made, _ in result] == [38] * 3
    assert sorted(batch for _, batches in result for batch in batches) == alone.batches
    assert content(tmp_path / "three") == content(tmp_path / "one")
