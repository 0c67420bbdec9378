"""A trained network as a folder: it answers as the package does, in a process that cannot import the package."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from spn4cir_core.backbones.base import BACKBONES
from spn4cir_core.cli.app import app
from spn4cir_core.errors import InputError, MissingExtra
from spn4cir_core.model_export import onnx_encoders
from spn4cir_core.model_export.export import export_model
from spn4cir_core.search.encoder import Encoder
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import Resume, as_module, load_network
from tests.backbones.conftest import small_table  # noqa: F401
from tests.embeddings.small_models import write_composing, write_open_clip, write_sentence_transformers
from tests.measured_store import drawn, measured_store

TEXTS = ("make it red", "a blue square instead of a circle, please", "")
WITHOUT_THE_PACKAGE = """
import runpy, sys
sys.modules["spn4cir_core"] = None
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
assert not [name for name in sys.modules if name.startswith("spn4cir_core.")]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return measured_store(tmp_path_factory.mktemp("measured"))


def loaded(folder: Path) -> Any:
    """The encoder of an exported folder, by its own loader."""
    spec = importlib.util.spec_from_file_location("composed_encoder", folder / "composed_encoder.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ComposedEncoder(folder)


def pictures(folder: Path) -> list[Path]:
    """Of several shapes; one lies on its side by its EXIF, one has transparency, one is grey."""
    made = [drawn(0, "circle", "red"), drawn(1, "bar", "blue").crop((0, 0, 48, 12)), drawn(2, "square", "green")]
    made.append(Image.new("RGBA", (30, 50), (0, 90, 200, 60)))
    made.append(drawn(3, "square", "red").convert("L"))
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(len(made))]
    for picture, path in zip(made, paths, strict=True):
        exif = picture.getexif()
        exif[0x0112] = 6 if path == paths[2] else 1
        picture.save(path, exif=exif)
    return paths


def assert_equal_answers(folder: Path, encoder: Encoder, paths: list[Path], off: float) -> None:
    exported = loaded(folder)
    assert (exported.dim, exported.target_tokens) == (encoder.dim, encoder.target_tokens)
    np.testing.assert_allclose(exported.encode_targets(paths), encoder.encode_targets(paths), atol=off)
    np.testing.assert_allclose(exported.encode_targets(paths[:1]), encoder.encode_targets(paths[:1]), atol=off)
    images = [paths[0], None, paths[1], paths[2], paths[3]]
    texts = [TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[0], TEXTS[1]]
    queries = exported.encode_queries(images, texts)
    np.testing.assert_allclose(queries, encoder.encode_queries(images, texts), atol=off)
    assert np.ptp(queries, axis=0).max() > 20 * off, "queries differ among each other"
    with pytest.raises(ValueError, match="query 0 has neither"):
        exported.encode_queries([None], [""])


def checkpoint_of(kind_table: dict[str, Any], store: Store, moved: float = 0) -> Artifact:
    backbone = BACKBONES.build(kind_table)
    network = backbone.build(list(TEXTS), 0)
    network.untie_query_encoder()
    for number, parameter in enumerate(as_module(network).parameters()):
        generator = torch.Generator().manual_seed(number)
        parameter.data += moved * torch.randn(parameter.shape, generator=generator)
    with store.writing("stage2_checkpoint", "one", {"parents": {}, "settings": {}}) as draft:
        Resume(draft).finish(backbone, network, 0.05, [])
    artifact = store.get("stage2_checkpoint", "one")
    assert artifact is not None
    return artifact


@pytest.mark.parametrize(("kind", "off"), [("residual", 3e-3), ("tgcir", 1e-5), ("sprc", 1e-5)])
def test_it_answers_as_the_package_does(
    kind: str,
    off: float,
    small_table: Callable[[str], dict[str, Any]],  # noqa: F811
    tmp_path: Path,
) -> None:
    """``residual`` rounds its stored picture features to float16. What is exported computes in float32."""
    store = Store(tmp_path / "store")
    precision = {"precision": "float32"} if kind == "residual" else {}
    checkpoint = checkpoint_of({**small_table(kind), **precision}, store)
    export_model(checkpoint, None, store, tmp_path / "model")
    assert_equal_answers(tmp_path / "model", Encoder(load_network(checkpoint)), pictures(tmp_path / "pictures"), off)
    assert "not stated" in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.parametrize("kind", ["frozen", "lora", "lora, read together"])
def test_it_answers_with_the_encoder_beside_it(kind: str, tmp_path: Path) -> None:
    """Adapters are merged: the folder needs no peft. Where stage 2 trained, queries have an encoder of their own."""
    pytest.importorskip("sentence_transformers")
    together = "together" in kind
    if kind != "frozen":
        pytest.importorskip("peft")
    (tmp_path / "encoder").mkdir()
    encoder = (write_composing if together else write_sentence_transformers)(tmp_path / "encoder")
    encoder |= {"kind": "sentence_transformers", "query_prompt": "question :"}
    own: dict[str, Any] = {"hidden": 16} if kind == "frozen" else {"rank": 2, "image_px": 64 if together else 32}
    store, table = Store(tmp_path / "store"), {"kind": kind.partition(",")[0], "encoder": encoder, **own}
    checkpoint = checkpoint_of(table, store, moved=0.1)
    export_model(checkpoint, None, store, tmp_path / "model")
    folders = {path.parent.name for path in (tmp_path / "model").glob("*/config.json")}
    assert folders == ({"encoder"} if kind == "frozen" else {"target_encoder", "query_encoder"})
    paths = pictures(tmp_path / "pictures")
    assert_equal_answers(tmp_path / "model", Encoder(load_network(checkpoint)), paths, 1e-4)
    if kind == "lora":
        words = [str(tmp_path / "model" / "search.py"), str(tmp_path / "pictures"), str(paths[0]), "make it blue"]
        command = [sys.executable, "-c", WITHOUT_THE_PACKAGE, *words]
        searched = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert searched.returncode == 0 and len(searched.stdout.splitlines()) == len(paths), searched.stderr


def test_onnx_of_heads_reads_the_vectors_of_the_encoder(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    for package in onnx_encoders.PACKAGES:
        pytest.importorskip(package, reason="needs pip install 'spn4cir[onnx]'")
    encoder = {"kind": "sentence_transformers", **write_sentence_transformers(tmp_path)}
    store = Store(tmp_path / "store")
    checkpoint = checkpoint_of({"kind": "frozen", "encoder": encoder, "hidden": 16}, store, moved=0.1)
    written = export_model(checkpoint, None, store, tmp_path / "model", onnx=True)
    assert list(written.onnx_errors) == ["the library's model, whose vectors the others read"]
    made = {path.stem for path in (tmp_path / "model" / "onnx").iterdir()}
    assert made == {"target", "query", "query_of_image", "query_of_text"}


def test_heads_on_an_encoder_of_another_library_are_not_exported(tmp_path: Path) -> None:
    encoder = {"kind": "open_clip", **write_open_clip(tmp_path, vocabulary=49_408)}
    store = Store(tmp_path / "store")
    checkpoint = checkpoint_of({"kind": "frozen", "encoder": encoder, "hidden": 16}, store)
    with pytest.raises(InputError, match="'open_clip' has none that sentence-transformers loads"):
        export_model(checkpoint, None, store, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_stranger_searches_with_it(store: Store, tmp_path: Path) -> None:
    recipe = tmp_path / "measured.toml"
    folder = store.root.parent / "pictures"
    recipe.write_text(f'base = "folder"\nname = "measured"\n[images.reader]\nkind = "folder"\nfolder = "{folder}"\n')
    words = ["export-model", str(tmp_path / "model"), "--licence", "CC0-1.0", "--recipe", str(recipe)]
    done = CliRunner().invoke(app, [*words, "--store", str(store.root)], catch_exceptions=False)
    assert "model.safetensors" in done.stdout
    checkpoint = store.current("measured", "stage2_checkpoint")
    assert checkpoint is not None
    encoder = Encoder(load_network(checkpoint))
    assert_equal_answers(tmp_path / "model", encoder, pictures(tmp_path / "pictures"), 1e-5)
    script, reference = tmp_path / "model" / "search.py", folder / "toys" / "00.png"
    command = [sys.executable, "-c", WITHOUT_THE_PACKAGE, str(script), str(folder), str(reference), "make it blue"]
    searched = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert searched.returncode == 0, searched.stderr
    paths = sorted(folder.rglob("*.png"))
    scores = encoder.encode_targets(paths) @ encoder.encode_queries([reference], ["make it blue"])[0]
    first, *_ = searched.stdout.splitlines()
    assert first.split() == [f"{scores.max():.3f}", str(paths[int(scores.argmax())])]
    assert len(script.read_text().split('"""\n', 1)[1].split()) and len(searched.stdout.splitlines()) == 10
    (tmp_path / "empty").mkdir()
    for given, message in (
        (command[:-1], "python search.py photos/ a.jpg"),
        ([*command[:-3], str(tmp_path / "empty"), *command[-2:]], "no .jpg, .jpeg, .png or .webp in"),
        ([*command[:-2], "missing.png", command[-1]], "a picture cannot be read: [Errno 2]"),
        ([*command[:-2], str(script), command[-1]], "a picture cannot be read: cannot identify image file"),
    ):
        refused = subprocess.run(given, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert refused.returncode == 1 and message in refused.stderr and "Traceback" not in refused.stderr
    card = (tmp_path / "model" / "README.md").read_text()
    assert "license_name: " in card and "CC0-1.0" in card and "Not measured" in card
    about = json.loads((tmp_path / "model" / "model.json").read_text())
    assert about["checkpoint"] == checkpoint.fingerprint
    with pytest.raises(InputError, match="holds something already"):
        export_model(checkpoint, None, store, tmp_path / "model")


def test_onnx_gives_the_same_vectors(store: Store, tmp_path: Path) -> None:
    for package in onnx_encoders.PACKAGES:
        pytest.importorskip(package, reason="needs pip install 'spn4cir[onnx]'")
    import onnxruntime

    checkpoint = store.current("measured", "stage2_checkpoint")
    assert checkpoint is not None
    written = export_model(checkpoint, None, store, tmp_path / "model", onnx=True)
    assert not written.onnx_errors
    network, encoder = load_network(checkpoint), loaded(tmp_path / "model")
    as_module(network).eval()
    pixels, tokens = encoder.pixels([drawn(number, "bar", "red") for number in range(7)]), network.tokenize(["red"] * 7)
    session = onnxruntime.InferenceSession(tmp_path / "model" / "onnx" / "query.onnx")
    (vectors,) = session.run(None, {"pixels": pixels.numpy(), "tokens": tokens.numpy()})
    with torch.inference_mode():
        wanted = network.encode_query(pixels, tokens).numpy()
    np.testing.assert_allclose(vectors, wanted, atol=onnx_encoders.TOLERANCE)


def test_missing_onnx_is_one_clear_error(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    checkpoint = store.current("measured", "stage2_checkpoint")
    assert checkpoint is not None
    with pytest.raises(MissingExtra, match=r"spn4cir\[onnx\]"):
        export_model(checkpoint, None, store, tmp_path / "model", onnx=True)
    assert not (tmp_path / "model").exists()
