"""This build against an older commit: clean clones of both, in turns, wall and processor seconds, peak memory.

``python benchmarks/against.py --baseline b7ac3b4 --images DIR --turns 3`` clones the repository twice and runs every
part with one and the other, A B A B; the table has medians, the spread of the turns, and the ratios. With
``--environments`` each clone gets a virtual environment of its own, else both use this interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ENTRY = re.compile(r'^spn4cir = "([\w.]+):(\w+)"', re.MULTILINE)
"""Where a build's command line starts, by its pyproject.toml."""
STAGE_LINE = re.compile(r"^(\w+) +[\d,]+ rows +[\d,]+ dropped +([\d.]+) s$", re.MULTILINE)
TRAINING = ("stage1_checkpoint", "control_checkpoint", "candidate_bank", "stage2_checkpoint")
SEEN = """
import sys
import pyarrow.parquet as pq
try:  # where it stood in older builds
    from spn4cir_core.artifacts import Store
except ImportError:
    from spn4cir_core.store.artifacts import Store
from spn4cir_core.flow import STAGES
from spn4cir_core.images.files import image_files
from spn4cir_core.recipe import load_recipe
from spn4cir_core.training.image_inputs import image_inputs
reader = {"kind": "folder", "folder": sys.argv[1]}
recipe, store = load_recipe("folder", {"images": {"reader": reader}}), Store(sys.argv[2])
for stage in ("images", "captions", "image_embeddings"):
    STAGES[stage].run(recipe, store)
backbone = recipe.stage1_checkpoint.backbone
manifest = store.current(recipe.name, "images").path / "images.parquet"
images = pq.read_table(manifest, columns=["path", "pixel_sha256"])
image_inputs(backbone, backbone.build(["a text"], 0), images, image_files(recipe.images, store), store)
"""
"""Captions, picture vectors, and the inputs of the recipe's backbone."""


@dataclass(frozen=True)
class Measured:
    """What one process and its children took."""

    part: str
    build: str
    wall_s: float
    processor_s: float
    peak_mb: float


class Build:
    """A clean clone of one commit, and what runs it."""

    def __init__(self, name: str, commit: str, home: Path, own_environment: bool) -> None:
        self.name, self.folder = name, home / name
        _quiet("git", "clone", "--quiet", str(REPOSITORY), str(self.folder))
        _quiet("git", "-C", str(self.folder), "checkout", "--quiet", commit)
        self.python = Path(sys.executable)
        if own_environment:
            _quiet(sys.executable, "-m", "venv", str(home / f"{name}-environment"))
            self.python = home / f"{name}-environment" / "bin" / "python"
            _quiet(str(self.python), "-m", "pip", "install", "--quiet", "-e", f"{self.folder}[offline]")

    def command(self, part: str, arguments: Sequence[str], store: Path) -> tuple[Measured, str]:
        """Run its command line; see :meth:`run`."""
        entry = ENTRY.search((self.folder / "pyproject.toml").read_text(encoding="utf-8"))
        assert entry is not None, f"{self.name} has no command line"
        module, function = entry.groups()
        return self.run(part, ["-c", f"from {module} import {function}; {function}()", *arguments], store)

    def run(self, part: str, arguments: Sequence[str], store: Path) -> tuple[Measured, str]:
        """Run Python with these arguments; what it took and what it printed.

        Raises:
            SystemExit: it failed.
        """
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "SPN4CIR_STORE": str(store)}
        with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as log:
            started = time.perf_counter()
            process = subprocess.Popen(
                [str(self.python), *arguments], stdout=printed, stderr=log, env=environment, cwd=self.folder
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            for stream in (printed, log):
                stream.seek(0)
            text, errors = printed.read(), log.read()
        if process.returncode:
            raise SystemExit(f"{self.name}, {part}: exit code {process.returncode}\n{errors[-2000:]}")
        peak_mb = usage.ru_maxrss / 1024
        return Measured(part, self.name, wall_s, usage.ru_utime + usage.ru_stime, peak_mb), text


def measured_once(build: Build, images: Path, home: Path, parts: Sequence[str]) -> Iterator[Measured]:
    """All parts once, each from a fresh store."""
    if "seen" in parts:
        store = home / "seen"
        yield build.run("captions, vectors and image inputs (S2)", ["-c", SEEN, str(images), str(store)], store)[0]
    if "folder" in parts:
        store = home / "folder"
        whole, printed = build.command("folder: everything", ["run", "--images", str(images)], store)
        yield whole
        yield from _stages(build.name, printed)
        picture = sorted(path for path in images.rglob("*") if path.suffix.lower() in {".jpg", ".png"})[0]
        sheet = ["--sheet", str(store / "hits.jpg")]
        query = ["search", "--image", str(picture), "--text", "is red", "--images", str(images), *sheet]
        first = build.command("first search from the command line (S6)", query, store)[0]
        yield first
        total = [whole.wall_s + first.wall_s, whole.processor_s + first.processor_s]
        yield Measured("folder, to the printed answer (S1)", build.name, *total, max(whole.peak_mb, first.peak_mb))
        yield build.command("again, nothing to do (S8)", ["run", "--images", str(images)], store)[0]
    if "demo" in parts:
        yield build.command("demo (S3)", ["run", "--recipe", "demo"], home / "demo")[0]


def _stages(build: str, printed: str) -> Iterator[Measured]:
    """Wall seconds of training and report by the run's own lines."""
    seconds = {name: float(value) for name, value in STAGE_LINE.findall(printed)}
    unknown = float("nan")
    yield Measured("all trainings", build, sum(seconds.get(name, 0) for name in TRAINING), unknown, unknown)
    for stage in ("eval_report", "search_index"):
        yield Measured(stage, build, seconds.get(stage, unknown), unknown, unknown)


def table(rows: Sequence[Measured], names: tuple[str, str]) -> Iterator[str]:
    """Markdown: medians of the turns with their least and greatest, and the ratios of the medians."""
    before, now = names
    yield f"| what | {before}: wall s | CPU s | MB | {now}: wall s | CPU s | MB | wall ratio | CPU ratio |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for part in dict.fromkeys(row.part for row in rows):
        cells: list[str] = []
        medians: Mapping[str, tuple[float, float]] = {}
        for name in names:
            turns = [row for row in rows if row.part == part and row.build == name]
            wall, processor = [row.wall_s for row in turns], [row.processor_s for row in turns]
            medians = {**medians, name: (statistics.median(wall), statistics.median(processor))}
            spread = f"{statistics.median(wall):.1f} ({min(wall):.1f}–{max(wall):.1f})"
            cells += [spread, _number(medians[name][1]), _number(statistics.median(row.peak_mb for row in turns))]
        ratios = [old / new if new else float("nan") for old, new in zip(medians[before], medians[now], strict=True)]
        yield f"| {part} | {' | '.join(cells)} | **{_number(ratios[0])}** | {_number(ratios[1])} |"


def _number(value: float) -> str:
    return "" if value != value else f"{value:.1f}"


def _quiet(*command: str) -> None:
    subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", required=True, help="a commit")
    parser.add_argument("--commit", default="HEAD", help="what is compared with it")
    parser.add_argument("--images", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--parts", nargs="+", default=["seen", "folder", "demo"], choices=["seen", "folder", "demo"])
    parser.add_argument("--environments", action="store_true", help="a virtual environment for each clone")
    parser.add_argument("--json", type=Path, help="where the single measurements go as well")
    options = parser.parse_args()
    rows: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        commits = {"before": options.baseline, "now": options.commit}
        builds = [Build(name, commit, home, options.environments) for name, commit in commits.items()]
        for turn in range(options.turns):
            for build in builds:
                with tempfile.TemporaryDirectory(dir=home) as stores:
                    for row in measured_once(build, options.images.resolve(), Path(stores), options.parts):
                        print(f"turn {turn + 1} {row.build}: {row.part}: {row.wall_s:.1f} s", file=sys.stderr)
                        rows.append(row)
                        if options.json:
                            options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    print(f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}\n")
    print("\n".join(table(rows, ("before", "now"))))


if __name__ == "__main__":
    main()
