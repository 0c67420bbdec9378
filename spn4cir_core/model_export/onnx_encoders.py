"""The recorded encoders as ONNX files, each compared with its graph by onnxruntime."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spn4cir_core.errors import MissingExtra

if TYPE_CHECKING:
    from spn4cir_core.model_export.graphs import EncoderGraph

TOLERANCE = 1e-4
"""By how much a number of a unit vector may differ."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def need_onnx() -> None:
    """Look whether what writes and checks ONNX is there.

    Raises:
        MissingExtra: it is not.
    """
    for package in PACKAGES:
        try:
            import_module(package)
        except ImportError as error:
            raise MissingExtra(package, "onnx") from error


def write_onnx(graphs: Mapping[str, EncoderGraph], folder: Path) -> dict[str, str]:
    """Write ``<encoder>.onnx`` for each graph that comes out equal; the reasons why others have none."""
    folder.mkdir()
    errors = {}
    for name, graph in graphs.items():
        if reason := _written(graph, folder / f"{name}.onnx"):
            errors[name] = reason
            (folder / f"{name}.onnx").unlink(missing_ok=True)
    return errors


def _written(graph: EncoderGraph, path: Path) -> str:
    import torch

    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    names: dict[str, Any] = {"input_names": list(graph.inputs), "output_names": ["vectors"]}
    try:
        exported: Any = torch.onnx.export(
            graph.program, tuple(graph.inputs.values()), dynamo=True, verbose=False, external_data=False, **names
        )
        exported.save(path)
        off = _difference(graph, path)
    except Exception as error:  # converter and runtime meet what they lack with errors of many kinds
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return "" if off <= TOLERANCE else f"its vectors differ by {off:.1e}, more than {TOLERANCE:g}"


def _difference(graph: EncoderGraph, path: Path) -> float:
    """Largest difference of a number, for the batch that was recorded and for one of other sizes."""
    import onnxruntime
    import torch

    session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    batches = [graph.inputs, {name: tensor[:3] for name, tensor in graph.inputs.items()}]
    worst = 0.0
    for batch in batches:
        with torch.inference_mode():
            wanted = graph.program.module()(*batch.values()).numpy()
        (given,) = session.run(None, {name: tensor.numpy() for name, tensor in batch.items()})
        worst = max(worst, float(np.abs(given - wanted).max()))
    return worst
