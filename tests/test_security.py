"""What must hold everywhere: nothing is unpickled, evaluated or run that comes from a file, and no secret is kept."""

from __future__ import annotations

import ast
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.cli import app as cli
from spn4cir_core.errors import RecipeError
from spn4cir_core.recipe import load_recipe
from spn4cir_core.reports.page import _cell
from tests.captions.chat_server import Reply, look, serving
from tests.pipelines import toml_of

ROOT = Path(__file__).parents[1]
ROOMS = ("spn4cir_core", "dagster_project", "benchmarks")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
EVIL = "[x](javascript:alert(1)) ![y](http://evil/) <b> |"
CANARY = "sk-canary-4711-do-not-tell"
NEVER_CALLED = {
    "eval",
    "exec",
    "compile",
    "os.system",
    "os.popen",
    "pickle.load",
    "pickle.loads",
    "marshal.load",
    "marshal.loads",
    "shelve.open",
    "joblib.load",
    "pandas.read_pickle",
    "pd.read_pickle",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "torch.hub.load",
    "tempfile.mktemp",
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a source file, with the dotted name of what is called."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def argument(call: ast.Call, name: str) -> object:
    """The value of a keyword argument; None where it is not given, or not given as a constant."""
    values = [word.value for word in call.keywords if word.arg == name]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None


def unsafe(name: str, call: ast.Call) -> bool:
    """Whether a call may run what a file says."""
    if name.endswith(("np.load", "numpy.load")):
        return argument(call, "allow_pickle") is not False
    if name.endswith("torch.load"):
        return argument(call, "weights_only") is not True
    shell = name.startswith("subprocess.") and argument(call, "shell") not in (None, False)
    return name in NEVER_CALLED or shell or argument(call, "trust_remote_code") not in (None, False)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_from_a_file_is_unpickled_evaluated_or_run(path: Path) -> None:
    assert not [f"line {call.lineno}: {name}" for name, call in calls(path) if unsafe(name, call)]


@pytest.mark.parametrize(
    ("line", "unsafe_call"),
    [
        ("np.load(path)", True),
        ("np.load(path, allow_pickle=True)", True),
        ("np.load(path, mmap_mode='r', allow_pickle=False)", False),
        ("torch.load(path, map_location='cpu')", True),
        ("torch.load(path, weights_only=True)", False),
        ("eval(text)", True),
        ("network.eval()", False),
        ("yaml.load(text)", True),
        ("yaml.safe_load(text)", False),
        ("subprocess.run(words, shell=True)", True),
        ("AutoModel.from_pretrained(name, trust_remote_code=True)", True),
    ],
)
def test_the_rule_above_sees_what_it_is_for(line: str, unsafe_call: bool, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(line)
    assert any(unsafe(name, call) for name, call in calls(tmp_path / "a.py")) == unsafe_call


def spn4cir(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["spn4cir", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_a_secret_is_sent_and_neither_kept_nor_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The whole command line with secrets in the environment, against a server that repeats them in its refusals."""
    for name in ("CAPTION_KEY", "SPN4CIR_TOKEN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, CANARY)
    caplog.set_level(logging.DEBUG)
    (tmp_path / "in").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{number}.png")
    store = str(tmp_path / "store")
    refusal = Reply(f"bad key {CANARY}".encode(), 400)
    with serving(lambda number, body: refusal if number == 1 else look(body)) as server:
        captioner = {"kind": "endpoint", "model": "m", "base_url": server.url, "api_key_env": "CAPTION_KEY"}
        tables = {"base": "folder", "name": "canary", "captions": {"captioner": captioner}}
        tables["images"] = {"reader": {"kind": "folder", "folder": str(tmp_path / "in")}}
        recipe = tmp_path / "recipe.toml"
        recipe.write_text(toml_of(tables))
        common = ("--recipe", str(recipe), "--store", store)
        assert spn4cir(monkeypatch, "run", *common, "--select", "images,captions", "--log-level", "debug") == 0
        assert set(server.keys) == {f"Bearer {CANARY}"}, "it is sent"
        server.reply = lambda number, body: Reply(f"bad key {CANARY}".encode(), 401)
        (tmp_path / "in" / "0.png").unlink()
        Image.new("RGB", (20, 20), "red").save(tmp_path / "in" / "new.png")
        assert spn4cir(monkeypatch, "run", *common, "--select", "images,captions") == 1
        assert spn4cir(monkeypatch, "status", *common) == 0
    printed = capfd.readouterr()
    assert "bad key ***" in printed.err and CANARY not in printed.out + printed.err + caplog.text
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10 and not [path for path in written if CANARY.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "captioner",
    [
        {"base_url": f"https://user:{CANARY}@host/v1", "model": "m", "kind": "endpoint"},
        {"base_url": f"https://{CANARY}@host/v1", "model": "m", "kind": "endpoint"},
        {"base_url": "http://host/v1", "model": "m", "kind": "endpoint", "api_key": CANARY},
        {"base_url": "http://host/v1", "model": "m", "kind": "endpoint", "extra_body": {"api_key": CANARY}},
        {"base_url": "http://host/v1", "model": "m", "kind": "endpoint", "extra_body": {"Authorization": CANARY}},
        {"base_url": "http://host/v1", "model": "m", "key": CANARY},
    ],
)
def test_a_recipe_that_holds_a_secret_is_refused_without_repeating_it(captioner: dict[str, Any]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("demo", {"captions": {"captioner": captioner if "kind" in captioner else [captioner]}})
    assert CANARY not in str(caught.value)


def test_words_of_data_make_no_links_in_a_markdown_page() -> None:
    assert _cell(EVIL) == "\\[x\\](javascript:alert(1)) !\\[y\\](http://evil/) \\<b> \\|", "Markdown escapes HTML too"


def test_settings_that_only_sound_like_secrets_are_fine() -> None:
    extra = {"max_tokens_total": 9, "stop_token_ids": [1], "seed": 1, "key_frames": 2}
    endpoint = {"kind": "endpoint", "base_url": "http://h/v1", "model": "m", "extra_body": extra}
    assert json.loads(load_recipe("demo", {"captions": {"captioner": endpoint}}).model_dump_json())
