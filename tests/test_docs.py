"""Everything that README, docs and examples/ show is run as written, in one prepared folder.

A page's blocks run in its order. A block whose first line is a file's name in a comment (``# shoes.toml``) is saved
under that name; Python and shell blocks are run; other languages are not, nor is a block below a line
``<!-- not run: REASON -->``.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from spn4cir_core.flow import STAGES
from spn4cir_core.recipe import Recipe

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks/README.md",
]
EXAMPLES = {
    "vectors_into_your_own_index.py": ["photos", "--image", "photos/a.jpg", "--text", "but red"],
    "search_many.py": ["photos", "asked.csv", "hits.csv", "--top", "3"],
    "own_captioner.py": ["photos", "--store", "store_of_colours"],
}
REASONS = (
    "installs packages",
    "takes minutes",
    "needs a GPU",
    "needs a hub",
    "needs a server",
    "needs a cluster",
    "needs the benchmark's files",
    "needs some hundred pictures",
)
RUN = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
FILE_NAME = re.compile(r"# (\w+\.\w+)\n")
COMMANDS = re.compile(r"^(\$ |\w+\$ )?(spn4cir|dagster|pip|python|make|export|cp|docker|kubectl) ", re.M)
COLOURS = ("red", "green", "blue", "orange", "purple", "black", "gold", "pink")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    reason: str

    @property
    def file(self) -> str:
        named = FILE_NAME.match(self.text)
        return named.group(1) if named else ""

    @property
    def way(self) -> str:
        """What is done with it: saved, run by bash or Python, or nothing."""
        if self.reason:
            return ""
        return "saved" if self.file else self.language if self.language in RUN else ""


def blocks(page: Path) -> Iterator[Block]:
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield Block(match["language"], match["text"], match["reason"] or "")


def draw_photos(folder: Path, count: int = 40) -> None:
    rng = random.Random(0)
    for number in range(count):
        picture = Image.new("RGB", (96, 72), rng.choice(("white", "lightgray", "beige")))
        draw = ImageDraw.Draw(picture)
        for _ in range(3):
            x, y = rng.randrange(70), rng.randrange(50)
            box = (x, y, x + rng.randrange(12, 40), y + rng.randrange(12, 40))
            rng.choice((draw.ellipse, draw.rectangle))(box, fill=rng.choice(COLOURS))
        path = folder / ("boots", "shirts")[number % 2] / f"{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
        if number == 0:
            picture.save(folder / "a.jpg")


def run(language: str, text: str, folder: Path) -> str:
    named = {key: value for key, value in os.environ.items() if not key.startswith(("SPN4CIR_", "DAGSTER_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    packages = os.pathsep.join([str(ROOT), str(folder), str(folder / "examples")])
    quiet = {"DAGSTER_DISABLE_TELEMETRY": "1", "SPN4CIR_LOG_LEVEL": "warning", "OMP_NUM_THREADS": "1"}
    environment = {**named, "PATH": path, "PYTHONPATH": packages, "HOME": str(folder), **quiet}
    result = subprocess.run([*RUN[language], text], cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, f"{text}\n--- printed\n{result.stdout}\n--- and on standard error\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as a reader has it, with pictures in ``photos/`` that the recipe ``folder`` has been run on."""
    made = tmp_path_factory.mktemp("reader")
    for name in ("spn4cir_core", "dagster_project", "examples", "benchmarks", "dagster.yaml", "workspace.yaml"):
        (made / name).symlink_to(ROOT / name)
    draw_photos(made / "photos")
    readme = {block.file: block.text for block in blocks(ROOT / "README.md") if block.file}
    (made / "shoes.toml").write_text(readme["shoes.toml"], encoding="utf-8")
    (made / "asked.csv").write_text("image,text\nphotos/a.jpg,but red\n,a blue boot\n", encoding="utf-8")
    run("bash", "spn4cir run --images photos/ && spn4cir run --recipe shoes.toml", made)
    return made


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.way for block in blocks(page))], ids=lambda p: p.name
)
def test_the_blocks_of_the_page_run(page: Path, folder: Path) -> None:
    for way, group in groupby(blocks(page), key=lambda block: block.way):
        if way == "saved":
            for block in group:
                (folder / block.file).write_text(block.text, encoding="utf-8")
        elif way:
            run(way, "\n".join(block.text for block in group), folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_that_is_not_run_says_why_and_none_hides_its_language(page: Path) -> None:
    for block in blocks(page):
        assert not block.reason or block.reason.startswith(REASONS), f"reason {block.reason!r} is not one of {REASONS}"
        assert block.language in RUN or not COMMANDS.search(block.text), f"commands without a language:\n{block.text}"


@pytest.mark.parametrize("page", ["docs/extending.md", "examples/own_captioner.py"])
def test_a_captioner_of_one_s_own_shows_its_version(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "plugin_version: ClassVar[int] = 1" in text, "edited code is not noticed without it"


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "examples").glob("*.py"))], ids=lambda page: page.name)
def test_pictures_to_encode_come_from_the_manifest_whatever_their_format(page: Path) -> None:
    assert "rglob(" not in page.read_text(encoding="utf-8"), "one format alone: a folder of others gives no vectors"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_the_examples_run(name: str, folder: Path) -> None:
    words = " ".join(f"'{word}'" for word in EXAMPLES[name])
    printed = run("bash", f"python examples/{name} {words}", folder)
    assert {
        "vectors_into_your_own_index.py": "photos/",
        "search_many.py": "6 hits of 2 queries in hits.csv",
        "own_captioner.py": "a mostly white picture",
    }[name] in printed


def test_the_readme_is_short_and_the_index_names_every_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    missing = [
        page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md" and page.name not in index
    ]
    assert not missing


@pytest.mark.parametrize("table", sorted(Recipe.model_fields))
def test_every_setting_is_named_in_a_document(table: str) -> None:
    text = "\n".join(
        page.read_text(encoding="utf-8") for page in (*PAGES, *(ROOT / "spn4cir_core/recipes").glob("*.toml"))
    )
    settings = getattr(Recipe.model_fields[table].annotation, "model_fields", {})
    missing = set(settings) - set(re.findall(r"\w+", text))
    assert not missing, f"name them in docs/settings.md or the page of their part: {sorted(missing)}"


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/artifacts.md"])
def test_every_artefact_stands_on_the_pages_that_list_them(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not [name for name in STAGES if name not in text]


def test_every_room_stands_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (ROOT / "spn4cir_core").glob("*/__init__.py")}
    assert not [room for room in rooms if f"`{room}`" not in text]


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_files_of_the_code_that_a_page_names_exist(page: Path) -> None:
    names = re.findall(r"`((?:[a-z0-9_]+/)+[a-z0-9_]+\.(?:py|jinja|toml))`", page.read_text(encoding="utf-8"))
    assert not [name for name in names if not any((root / name).is_file() for root in (ROOT, ROOT / "spn4cir_core"))]
