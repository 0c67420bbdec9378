from __future__ import annotations

import os
from pathlib import Path

import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.models.model_source import find_model


@pytest.mark.parametrize("name", ["./none", "../models/none", "/no/such/model", "~/none", "none", "a/b/c", ""])
def test_missing_folder_is_an_error_and_not_a_hub_id(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"does not exist|has no config\.json"):
        find_model(name, "main")


def test_unknown_builtin_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="builtin:shapes"):
        find_model("builtin:shape", "main")


def test_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(InputError, match="safetensors"):
        find_model(str(tmp_path), "main")


def test_a_model_may_be_a_layer_of_sentence_transformers(tmp_path: Path) -> None:
    layer = tmp_path / "0_CLIPModel"
    layer.mkdir()
    (layer / "config.json").write_text("{}")
    (layer / "model.safetensors").write_bytes(b"1")
    with pytest.raises(InputError, match=r"has no config\.json"):
        find_model(str(tmp_path), "main")
    (tmp_path / "modules.json").write_text("[]")
    assert find_model(str(tmp_path), "main").folder == tmp_path


def test_folder_wins_over_a_hub_id_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    assert find_model("owner/name", "main").folder == folder
    assert find_model("owner/other", "main").folder is None


def test_fingerprint_follows_bytes_and_revision_not_the_place(tmp_path: Path) -> None:
    marks, states = [], []
    for name, weights in [("a", b"1"), ("b", b"1"), ("c", b"2")]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(weights)
        marks.append(find_model(str(folder), "main").fingerprint)
        states.append(find_model(str(folder), "main").state)
        assert states[-1] == find_model(str(folder), "main").state
    assert marks[0] == marks[1] != marks[2]
    (tmp_path / "a" / "model.safetensors").write_bytes(b"2")
    os.utime(tmp_path / "a" / "model.safetensors", ns=(1, 1))
    assert find_model(str(tmp_path / "a"), "main").fingerprint == marks[2], "a stale checksum was used"
    assert find_model(str(tmp_path / "a"), "main").state != states[0]
    assert find_model("o/n", "main").state != find_model("o/n", "0123abc").state
    assert find_model("o/n", "main").fingerprint != find_model("o/n", "0123abc").fingerprint
