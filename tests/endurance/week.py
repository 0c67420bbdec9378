"""A scripted week of a live ``dagster dev`` with its sensor on: corpora come and go, people edit, things break.

    python -m tests.endurance.week                       # from the repository's root; prints a Markdown table
    python -m tests.endurance.week --only monday disk_full

The code location is a copy of this code, so that its version can be raised. In the end the current artefacts are
compared, file by file, with those of a run from scratch. The full disk needs the right to mount a tmpfs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus
from PIL import Image

from spn4cir_core.flow import STAGES
from spn4cir_core.index.sharded_index import ShardedVectors
from spn4cir_core.index.vector_shards import FOLDER
from spn4cir_core.search.index_table import ABOUT, read_shard_lists
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.rows import KEY, Rows
from tests.dagster_dev import ROOT, DagsterDev, eventually
from tests.watched_project import WatchedProject

LOCATION = {"repositoryLocationName": "spn4cir", "repositoryName": "__repository__"}
UP_TO_DATE = "everything is up to date"
STORE_MB = 256
COMPUTED = ("captions", "image_embeddings")
ACTIVE = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
SLOW_MACHINE = ("DAGSTER_GRPC_TIMEOUT_SECONDS", "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS")
PACKAGES = ("spn4cir_core", "dagster_project")


class Week:
    """The project, the servers that watch it, and the tally of what happened."""

    def __init__(self, folder: Path, patience_s: float, look_every_s: int) -> None:
        self.patience_s, self.project = patience_s, WatchedProject(folder)
        self.code, self.store = folder / "code", Store(folder / "disk" / "store")
        for package in PACKAGES:
            shutil.copytree(ROOT / package, self.code / package, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(ROOT / file, self.code)
        own = {"SPN4CIR_LOOK_EVERY_S": str(look_every_s), **dict.fromkeys(SLOW_MACHINE, str(int(patience_s)))}
        self.dev = DagsterDev(folder, self.project.recipe, self.store.root, self.code, **own)
        self.instance = dg.DagsterInstance.from_config(str(self.dev.home))
        self.faults: list[str] = []
        self.row_keys: dict[str, set[str]] = {}
        self.lost = self.written = self.computed = 0
        self.told_runs: set[str] = set()
        self.told_artifacts: set[Path] = set()

    # What is seen of the servers

    def switch_on(self) -> None:
        """Start the servers, and the sensor, which is shipped stopped."""
        self.dev.start(self.patience_s)
        self.dev.ask(
            "mutation($s: SensorSelector!) {startSensor(sensorSelector: $s) {__typename}}",
            {"s": {**LOCATION, "sensorName": "sync_when_changed"}},
        )

    def tick(self) -> InstigatorTick | None:
        """The last look that has come to an end."""
        states = [state for state in self.instance.all_instigator_state() if state.instigator_name.startswith("sync")]
        done = [
            tick
            for state in states
            for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=3)
            if tick.status != TickStatus.STARTED
        ]
        return max(done, key=lambda tick: tick.timestamp, default=None)

    def look(self, after: float, says: str = "") -> InstigatorTick | None:
        """The last look, if it began after that moment and its reason holds those words."""
        tick = self.tick()
        if tick is None or tick.timestamp < after or says not in (tick.skip_reason or ""):
            return None
        return tick

    def until(self, says: str) -> str:
        """Wait for a look, beginning from now, whose reason holds those words."""
        now = time.time()
        try:
            tick = eventually(lambda: self.look(now, says), self.patience_s)
        except AssertionError:
            last = self.tick()
            raise AssertionError(f"waiting for {says!r}; the last look: {last}; runs: {self.runs()}") from None
        return str(tick.skip_reason)

    def looks(self, count: int) -> list[str]:
        """What so many looks say, one after another."""
        said: list[str] = []
        after = time.time()
        for _ in range(count):
            tick = eventually(lambda after=after: self.look(after), self.patience_s)
            after = tick.timestamp + 0.001
            said.append(tick.skip_reason or f"run keys {tick.run_keys}")
        return said

    def runs(self) -> list[tuple[str, str]]:
        """Id and status of every run, the last one first."""
        return [(run.run_id, run.status.value) for run in self.instance.get_runs()]

    def active(self) -> list[str]:
        """Ids of the runs that have not ended."""
        return [run for run, status in self.runs() if status in ACTIVE]

    def in_mid_run(self) -> str:
        """Wait until a run is writing an artefact; its id."""

        def writing() -> str:
            started = [run for run, status in self.runs() if status == "STARTED"]
            return started[0] if started and any(self.store.root.glob("*/.*.draft/*")) else ""

        return str(eventually(writing, self.patience_s))

    def process_of(self, run: str) -> int:
        """The id of a run's process, as it told it."""
        messages = " ".join(entry.message for entry in self.instance.all_logs(run))
        return int(re.findall(r"pid: (\d+)", messages)[-1])

    def launch(self, job: str = "everything") -> str:
        """Ask for a run by hand, as a click does."""
        answer = self.dev.ask(
            "mutation($p: ExecutionParams!) {launchRun(executionParams: $p) "
            "{... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}",
            {"p": {"selector": {**LOCATION, "jobName": job}, "mode": "default"}},
        )
        return str(answer["launchRun"]["run"]["runId"])

    def command(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """``spn4cir`` on the same store, with the same code."""
        return subprocess.Popen(
            [sys.executable, "-c", "from spn4cir_core.cli.app import main; main()", *words],
            cwd=self.code,
            env={**self.dev.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def reload(self) -> None:
        """Have the servers load the code anew."""
        self.dev.ask(
            "mutation($l: String!) {reloadRepositoryLocation(repositoryLocationName: $l) {__typename}}",
            {"l": LOCATION["repositoryLocationName"]},
        )

    # The tally

    def fault(self, name: str) -> None:
        """Note what is about to be done to them."""
        self.faults.append(name)

    def count(self, day: str, seconds: float) -> None:
        """One line of the table: runs since the last one, artefacts they made, rows per picture they computed."""
        runs = [(run, status) for run, status in self.runs() if run not in self.told_runs]
        made = {path.parent for noun in STAGES for path in self.store.root.glob(f"{noun}/[!.]*/summary.json")}
        fresh = sorted((path.parent.name for path in made - self.told_artifacts), key=list(STAGES).index)
        rows = self.rows_of(made - self.told_artifacts)
        self.told_runs |= {run for run, _ in runs}
        self.told_artifacts |= made
        self.written += len(fresh)
        self.computed += rows
        self.count_kept()
        statuses = ", ".join(status for _, status in runs) or "none"
        nouns = "all" if len(fresh) == len(STAGES) else ", ".join(fresh) or "none"
        line(day.replace("_", " "), len(runs), statuses, f"{len(fresh)}: {nouns}", rows, round(seconds))

    def rows_of(self, made: set[Path]) -> int:
        """Captions and vectors that these artefacts had computed, not taken from an earlier one."""
        artifacts = [self.store.get(path.parent.name, path.name) for path in made if path.parent.name in COMPUTED]
        return sum(int(artifact.details["computed"]) for artifact in artifacts if artifact)

    def needed(self) -> int:
        """How many different captions and vectors there are: each has to be computed once."""
        return sum(len(keys) for folder, keys in self.row_keys.items() if Path(folder).parent.name in COMPUTED)

    def count_kept(self) -> None:
        """Rows that were kept per picture and are not any more."""
        for folder in {part.parent for part in self.store.root.glob("rows/*/*/part-*.parquet")}:
            now = {key for table in Rows(folder, pa.null()).scan() for key in table[KEY].to_pylist()}
            self.lost += len(self.row_keys.get(str(folder), set()) - now)
            self.row_keys[str(folder)] = now


def monday(week: Week) -> None:
    """Two corpora are there; everything is made."""
    week.until(UP_TO_DATE)


def nothing_changed(week: Week) -> None:
    assert set(week.looks(3)) == {UP_TO_DATE}


def corpus_arrives_slowly(week: Week) -> None:
    """Copied in pieces for several looks: nothing may start before it holds still."""
    week.fault("half-copied corpus")
    arriving = week.project.corpora / "second"
    arriving.mkdir()
    pieces = [
        (arriving / path.name, path.read_bytes()[start : start + 40])
        for path in sorted(week.project.waiting.glob("*.png"))
        for start in range(0, path.stat().st_size, 40)
    ]
    began, seen = time.time(), set()
    while pieces:
        path, piece = pieces.pop(0)
        with path.open("ab") as stream:
            stream.write(piece)
        tick = week.look(began)
        seen |= {tick.timestamp} if tick else set()
        time.sleep(0.3 if len(seen) < 4 else 0)
    assert not week.active(), "a run was started on half a corpus"
    assert len(seen) >= 3, "copied too fast to be seen"
    week.until(UP_TO_DATE)


def pictures_change_and_go(week: Week) -> None:
    """A picture is changed in place, three go, and a corpus goes."""
    first = sorted((week.project.corpora / "first").glob("*.png"))
    Image.new("RGB", (48, 48), "white").save(first[0])
    for path in first[3:6]:
        path.unlink()
    shutil.rmtree(week.project.corpora / "second")
    week.until(UP_TO_DATE)


def picture_changed_while_a_run_reads_it(week: Week) -> None:
    """Pictures arrive; one of them is replaced in mid-run."""
    week.fault("picture replaced during a run")
    for path in sorted(week.project.waiting.glob("*.png"))[:4]:
        shutil.copy(path, week.project.corpora / "first" / f"late_{path.name}")
    week.in_mid_run()
    late = sorted((week.project.corpora / "first").glob("late_*"))
    Image.new("RGB", (48, 48), "navy").save(late[-1])
    week.until(UP_TO_DATE)


def template_edited_during_a_run(week: Week) -> None:
    week.fault("template edited during a run")
    week.project.edit_bank("rather {added}")
    week.in_mid_run()
    week.project.edit_bank("please {added}")
    week.until(UP_TO_DATE)


def edit_and_revert(week: Week) -> None:
    """Reverted after its run: what was there before is current again, and nothing is computed."""
    week.project.edit_bank("soon {added}")
    week.until(UP_TO_DATE)
    week.project.edit_bank("please {added}")
    week.until(UP_TO_DATE)


def annotations_edited(week: Week) -> None:
    week.project.drop_a_query()
    week.until(UP_TO_DATE)


def recipe_edited(week: Week) -> None:
    week.project.edit_recipe(draws=120)
    week.until(UP_TO_DATE)


def recipe_broken(week: Week) -> None:
    """Nothing starts, and the looks say why; likewise a template bank."""
    for file, text in ((week.project.recipe, "name ="), (week.project.bank, "[[template]]\nid = 1")):
        week.fault(f"broken {file.name}")
        good, before = file.read_text(encoding="utf-8"), week.runs()
        file.write_text(text, encoding="utf-8")
        assert "cannot tell what is out of date" in week.until("cannot tell")
        file.write_text(good, encoding="utf-8")
        week.until(UP_TO_DATE)
        assert week.runs() == before


def annotations_broken(week: Week) -> None:
    """The run fails; the state is not tried for ever, and the cure is taken."""
    week.fault("annotation file that cannot be read")
    good = week.project.queries.read_text(encoding="utf-8")
    week.project.queries.write_text("no,such\ncolumn,here\n", encoding="utf-8")
    week.until("ended as")
    before = week.runs()
    week.looks(3)
    assert week.runs() == before
    week.project.queries.write_text(good, encoding="utf-8")
    week.until(UP_TO_DATE)


def code_version_raised(week: Week) -> None:
    """The code on the disk is newer than what the servers have loaded; then they load it."""
    week.fault("code upgraded under running servers")
    file = week.code / "spn4cir_core" / "texts" / "write_texts.py"
    text = file.read_text(encoding="utf-8")
    version = int(re.findall(r"version=(\d+)", text)[-1])
    file.write_text(text.replace(f"version={version}", f"version={version + 1}"), encoding="utf-8")
    week.project.edit_bank("now {added}, please")
    week.until("reload")
    before = week.runs()
    week.looks(2)
    assert week.runs() == before, "runs without an end"
    week.reload()
    week.until(UP_TO_DATE)


def run_killed(week: Week) -> None:
    week.fault("kill -9 of the run's process")
    week.project.edit_bank("quick {added}")
    os.kill(week.process_of(week.in_mid_run()), signal.SIGKILL)
    week.until(UP_TO_DATE)


def daemon_killed(week: Week) -> None:
    """``dagster dev`` goes down with it; it is started again, as a service manager would."""
    week.fault("kill -9 of the daemon in mid-run")
    week.project.edit_bank("brisk {added}")
    week.in_mid_run()
    os.kill(child_of(week.dev.process.pid, "dagster._daemon"), signal.SIGKILL)
    week.dev.wait_until_gone()
    week.dev.start(week.patience_s)
    week.until(UP_TO_DATE)


def power_cut(week: Week) -> None:
    """All processes at once, run included."""
    week.fault("power cut in mid-run")
    week.project.edit_bank("swift {added}")
    week.in_mid_run()
    week.dev.kill()
    week.dev.start(week.patience_s)
    week.until(UP_TO_DATE)


def disk_full(week: Week) -> None:
    """The run fails and says so; with room again a run by hand goes on."""
    week.fault("disk full")
    ballast = week.store.root.parent / "ballast"
    with ballast.open("wb") as stream:
        stream.write(bytes(max(0, shutil.disk_usage(ballast.parent).free - 400_000)))
    week.project.edit_bank("full {added}")
    week.until("ended as")
    ballast.unlink()
    week.launch()
    week.until(UP_TO_DATE)


def two_runs_at_once(week: Week) -> None:
    """Two clicks and a command line, all of them at once, on what has just changed."""
    week.fault("three runs asked for at once")
    week.project.edit_bank("twice {added}")
    command = week.command(
        "run", "--recipe", str(week.project.recipe), "--store", str(week.store.root), SPN4CIR_WHEN_LOCKED="wait"
    )
    week.launch()
    week.launch()
    said = command.communicate(timeout=week.patience_s)[0].decode()
    assert command.returncode == 0, said
    week.until(UP_TO_DATE)


DAYS: tuple[Callable[[Week], None], ...] = (
    monday,
    nothing_changed,
    corpus_arrives_slowly,
    pictures_change_and_go,
    picture_changed_while_a_run_reads_it,
    template_edited_during_a_run,
    edit_and_revert,
    annotations_edited,
    recipe_edited,
    recipe_broken,
    annotations_broken,
    code_version_raised,
    run_killed,
    daemon_killed,
    power_cut,
    disk_full,
    two_runs_at_once,
    nothing_changed,
)


def child_of(process: int, words: str) -> int:
    """The child process whose command line holds those words."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process and words in (folder / "cmdline").read_text().replace("\0", " "):
                return int(folder.name)
        except OSError:
            continue
    raise AssertionError(f"process {process} has no child {words!r}")


def differences(week: Week, scratch: Store) -> list[str]:
    """Stages whose current artefact is not that of a run from scratch."""
    differing = []
    for name in STAGES:
        one, other = week.store.current("tiny", name), scratch.current("tiny", name)
        assert one is not None and other is not None
        one.verify()
        if one.fingerprint != other.fingerprint or not have_equal_files(one, other):
            differing.append(name)
    return differing


def have_equal_files(one: Artifact, other: Artifact) -> bool:
    """Byte for byte; of search indexes, whose shards tell how the corpus grew, the vectors."""
    if one.noun != "search_index":
        return bool(one.summary["files"] == other.summary["files"])
    shards, others = read_shard_lists(one), read_shard_lists(other)
    files, theirs = (
        {name: file for name, file in index.summary["files"].items() if name != ABOUT and not name.startswith(FOLDER)}
        for index in (one, other)
    )
    return (
        files == theirs
        and shards.keys() == others.keys()
        and all(
            np.array_equal(
                ShardedVectors.open(one, name, shards[name]).whole(),
                ShardedVectors.open(other, name, others[name]).whole(),
                equal_nan=True,
            )
            for name in shards
        )
    )


def line(*cells: Any) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def live(week: Week, chosen: Sequence[str]) -> None:
    line("what happens", "runs", "their end", "artefacts made", "captions and vectors computed", "seconds")
    line(*["---"] * 6)
    known = {day.__name__: day for day in DAYS}
    week.switch_on()
    try:
        for day in [known[name] for name in chosen] or DAYS:
            began = time.monotonic()
            day(week)
            week.count(day.__name__, time.monotonic() - began)
    finally:
        week.dev.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], choices=[day.__name__ for day in DAYS], help="these days only")
    parser.add_argument("--patience", type=float, default=900, help="seconds to wait for any one thing")
    parser.add_argument("--look-every", type=int, default=5, help="seconds between the looks of the sensor")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spn4cir-week-") as name:
        disk = Path(name) / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={STORE_MB}m", "tmpfs", disk], check=True)
        try:
            week = Week(Path(name), given.patience, given.look_every)
            live(week, given.only)
            scratch = Store(Path(name) / "scratch")
            words = ("run", "--recipe", str(week.project.recipe), "--store", str(scratch.root))
            assert week.command(*words).wait() == 0
            different = differences(week, scratch)
        finally:
            subprocess.run(["umount", disk], check=True)
    print(f"\nfaults injected: {len(week.faults)} ({', '.join(week.faults)})")
    print(f"runs started: {len(week.told_runs)}; artefacts made: {week.written}")
    print(f"captions and vectors computed: {week.computed}; of them computed before: {week.computed - week.needed()}")
    print(f"rows kept per picture: {sum(map(len, week.row_keys.values()))}; lost: {week.lost}")
    print(f"artefacts that differ from those of a run from scratch: {different or 'none'}")
    assert not different and not week.lost


if __name__ == "__main__":
    main()
