"""What the command of a search refuses, before any index is opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from spn4cir_core.cli.app import app
from spn4cir_core.errors import InputError


def refused(*words: str | Path) -> str:
    done = CliRunner().invoke(app, ["search", *map(str, words)])
    assert isinstance(done.exception, InputError), done.output
    return str(done.exception)


@pytest.mark.parametrize("words", [[], ["--text", ""], ["--text", " \t"]])
def test_a_search_for_nothing_says_what_to_give(words: list[str]) -> None:
    assert refused(*words).startswith("there is neither --image nor --text: name a picture")


@pytest.mark.parametrize("text", ["", "in red"])
def test_a_picture_that_is_not_there_is_named(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures = tmp_path / "pictures"
    (pictures / "shoes").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(pictures / "shoes" / "1.png")
    words = ["--text", text, "--images", pictures, "--store", tmp_path / "store"]
    assert refused("--image", "none.jpg", *words) == "--image none.jpg: no such file"
    assert refused("--image", pictures / "none.jpg", *words) == f"--image {pictures}/none.jpg: no such file"
    listed = refused("--image", "shoes/1.png", *words)
    assert listed == f"--image shoes/1.png: no such file here; did you mean {pictures}/shoes/1.png?"
