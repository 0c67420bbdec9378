"""Parts of ``benchmarks/gpu_check.py``: results are kept, and what cannot run or fails is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu_check
from benchmarks.gpu_check import SMALL, check, table


def test_without_a_gpu_every_part_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    results = check("cuda", SMALL, tmp_path)
    assert {result["not run"] for result in results.values()} == {"torch sees no CUDA GPU"}
    assert json.loads((tmp_path / "gpu-check.json").read_text()) == results
    assert len(list(table(results))) == 2 + len(gpu_check.PARTS)


def test_a_part_that_is_done_is_not_run_again_and_one_that_fails_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = list[str]()

    def good(device: str, sizes: gpu_check.Sizes) -> dict[str, Any]:
        runs.append("good")
        return {"rate": 3}

    def bad(device: str, sizes: gpu_check.Sizes) -> dict[str, Any]:
        runs.append("bad")
        raise RuntimeError("no kernel")

    monkeypatch.setattr(gpu_check, "PARTS", {"bad": bad, "good": good})
    check("cpu", SMALL, tmp_path)
    results = check("cpu", SMALL, tmp_path)
    assert runs == ["bad", "good", "bad"]
    assert results["bad"] == {"failed": "RuntimeError: no kernel"} and results["good"]["rate"] == 3


def test_the_bank_and_the_equality_part_run_on_a_processor(tmp_path: Path) -> None:
    assert gpu_check.PARTS["bank softmax"]("cpu", SMALL)["2000"]["streamed_ms"] > 0
    result = gpu_check.PARTS["equality with the processor"]("cpu", SMALL)
    assert result["vectors_is_within_0.01"] and result["gradient_is_within_0.001"]
