from __future__ import annotations

import argparse
import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spn4cir_core.backbones.published import read_published
from spn4cir_core.errors import InputError
from spn4cir_core.models.weight_files import plain_names, read_weight_file, read_weights

TENSORS = {"visual.proj": torch.ones(2, 3), "scale": torch.tensor(2.0)}


@pytest.mark.parametrize(
    "value",
    [np.float64(0.5), np.float32(0.5), np.float16(0.5), np.int64(3), np.int32(3), np.bool_(True)],
    ids=lambda value: type(value).__name__,
)
def test_scalars_of_numpy_beside_the_weights_are_read(tmp_path: Path, value: Any) -> None:
    torch.save({"CLIP": TENSORS, "best_recall": value}, tmp_path / "best.pt")
    assert read_weight_file(tmp_path / "best.pt")["best_recall"] == value
    file = read_published(tmp_path / "best.pt")
    assert file.beside == ("best_recall",) and set(file.tensors) == set(TENSORS)


class Trap:
    """What a malicious file would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("sprung"),))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (Path("a"), "pathlib"),
        (np.arange(3), "_reconstruct"),
        (collections.deque([1]), "collections.deque"),
        (Trap(), "getattr"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_object_that_would_run_code_is_named_without_foreign_advice(tmp_path: Path, value: Any, name: str) -> None:
    torch.save({"CLIP": TENSORS, "args": value}, tmp_path / "best.pt")
    with pytest.raises(InputError, match="more than weights") as caught:
        read_weight_file(tmp_path / "best.pt")
    message = str(caught.value)
    assert name in message and "state dict" in message
    assert not any(word in message for word in ("\x1b", "\n", "weights_only", "safe_globals", "trust"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x80\x02.", b"hello\nworld"])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "torn.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"is no weight file: .") as caught:
        read_weights(tmp_path / "torn.pt")
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_what_wrappers_add_to_names_is_taken_off(tmp_path: Path, prefix: str) -> None:
    torch.save({"CLIP": {f"{prefix}{name}": tensor for name, tensor in TENSORS.items()}}, tmp_path / "best.pt")
    assert set(read_published(tmp_path / "best.pt").tensors) == set(TENSORS)
    torch.save({f"{prefix}{name}": tensor for name, tensor in TENSORS.items()}, tmp_path / "bare.pt")
    assert set(read_published(tmp_path / "bare.pt").tensors) == set(TENSORS)


def test_names_that_only_look_wrapped_stay_and_doubles_are_refused() -> None:
    one = {"module.a": TENSORS["scale"], "b": TENSORS["scale"]}
    assert set(plain_names(one, Path("x.pt"))) == {"module.a", "b"}
    compiled_part = {"visual._orig_mod.proj": TENSORS["scale"]}
    assert set(plain_names(compiled_part, Path("x.pt"))) == {"visual.proj"}
    with pytest.raises(InputError, match=r"holds the tensor 'a' twice"):
        plain_names({"_orig_mod.a": TENSORS["scale"], "a": TENSORS["scale"]}, Path("x.pt"))
