"""What a GPU does for this project, in parts that can be resumed: one command, one table, one JSON file.

make gpu-check                      # python -m benchmarks.gpu_check --out gpu-check
python -m benchmarks.gpu_check --device cpu --small     # the same parts in small, where there is no GPU

A part that is in the JSON file already is not measured again. A part that cannot run says why.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spn4cir_core as spn  # isort: skip  (sets OpenMP's waiting policy before torch is imported)

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from spn4cir_core.objectives.bank_softmax import bank_softmax_losses

TAU, RUNS = 0.05, 5
CAPTIONS_TO = ("images", "captions")
TRAINED_TO = (
    *("images", "templates", "annotations", "captions", "image_embeddings", "splits", "pairs", "modified_texts"),
    *("triplets", "false_negatives", "stage1_checkpoint", "control_checkpoint", "candidate_bank", "stage2_checkpoint"),
)
TOLERANCES = {"vectors": 1e-2, "gradient": 1e-3, "mined": 0.99}
"""GPU against CPU: most that unit vectors and, by their norm, gradients differ; least share of equal neighbours."""
UNVALIDATED = {"validation": {"keep": "last", "queries": "triplets", "every_steps": None}}
Result = Mapping[str, Any]


class CannotRun(Exception):
    """Why a part is left out on this machine."""


@dataclass(frozen=True)
class Sizes:
    """How much each part computes."""

    scenes: int = 300
    steps: int = 200
    banks: tuple[int, ...] = (46_000, 400_000, 2_000_000)
    queries: int = 256
    mined: int = 1_000_000
    dimensions: int = 640


SMALL = Sizes(scenes=6, steps=4, banks=(2_000,), queries=16, mined=3_000, dimensions=32)


def _demo(sizes: Sizes, overrides: Mapping[str, Any]) -> Any:
    reader = {"kind": "shapes", "scenes": sizes.scenes, "test_scenes": 4, "validation_scenes": 0}
    return spn.load_recipe("demo", {"images": {"reader": reader}, "blend": {"channels": []}, **overrides})


def _run(recipe: Any, stages: tuple[str, ...]) -> dict[str, float]:
    """Seconds of each stage from an empty store."""
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        made = spn.run(recipe, folder, stages)
        for name, artifact in made.items():
            seconds[name] = round(sum(artifact.summary["seconds"].values()), 2)
        seconds["pictures"] = made["images"].summary["rows"]
    return seconds


def _captions(dtype: str) -> Callable[[str, Sizes], Result]:
    """Captions by the small LLaVA of the demo."""

    def part(device: str, sizes: Sizes) -> Result:
        captioner = {"kind": "llava", "model": "builtin:shapes", "dtype": dtype, "device": device}
        seconds = _run(_demo(sizes, {"captions": {"captioner": captioner}}), CAPTIONS_TO)
        return {"captions_per_s": round(seconds["pictures"] / max(seconds["captions"], 1e-6), 1), **seconds}

    return part


def _training(precision: str) -> Callable[[str, Sizes], Result]:
    """Embeddings and both trainings, in batches of 512 that are embedded 64 at a time."""

    def part(device: str, sizes: Sizes) -> Result:
        stage = {"steps": sizes.steps, "batch_size": 512, "chunk_size": 64, "precision": precision, "device": device}
        captioner = {"kind": "llava", "model": "builtin:shapes", "device": device}
        encoder = {"kind": "vision_tower", "model": "builtin:shapes", "pooling": "flatten", "device": device}
        tables = {
            "captions": {"captioner": captioner},
            "image_embeddings": {"encoder": encoder},
            "stage1_checkpoint": {**stage, **UNVALIDATED},
            "stage2_checkpoint": {**stage, **UNVALIDATED},
        }
        return _run(_demo(sizes, tables), TRAINED_TO)

    return part


def _bank_softmax(device: str, sizes: Sizes) -> Result:
    """The streamed loss and gradient against its two matrix products, dense autograd and a fused kernel."""
    table: dict[str, Any] = {}
    for rows in sizes.banks:
        bank = normalize(torch.randn(rows, sizes.dimensions, device=device, dtype=torch.float16).float(), dim=-1).half()
        queries = normalize(torch.randn(sizes.queries, sizes.dimensions, device=device), dim=-1)
        targets = torch.randint(rows, (sizes.queries,), device=device)
        ways = {
            "two_products_ms": lambda bank=bank, queries=queries: _two_products(queries, bank),
            "streamed_ms": lambda bank=bank, queries=queries, targets=targets: _streamed(queries, bank, targets),
            "dense_ms": lambda bank=bank, queries=queries, targets=targets: _dense(queries, bank, targets),
            "fused_ms": lambda bank=bank, queries=queries, targets=targets: _fused(queries, bank, targets),
        }
        table[f"{rows}"] = {name: _milliseconds(way, device) for name, way in ways.items()}
    return table


def _two_products(queries: Tensor, bank: Tensor) -> Tensor:
    return (queries.half() @ bank.T) @ bank


def _streamed(queries: Tensor, bank: Tensor, targets: Tensor) -> Tensor:
    leaf = queries.clone().requires_grad_(True)
    none = torch.empty(0, 2, dtype=torch.int64, device=queries.device)
    bank_softmax_losses(leaf, bank, targets, none, torch.tensor(TAU, device=queries.device)).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


def _dense(queries: Tensor, bank: Tensor, targets: Tensor) -> Tensor:
    leaf = queries.clone().requires_grad_(True)
    cross_entropy(leaf @ bank.float().T / TAU, targets, reduction="sum").backward()
    assert leaf.grad is not None
    return leaf.grad


def _fused(queries: Tensor, bank: Tensor, targets: Tensor) -> Tensor:
    try:
        from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy
    except ImportError as error:
        raise CannotRun("liger-kernel is not installed") from error
    leaf = (queries / TAU).half().requires_grad_(True)
    liger_fused_linear_cross_entropy(leaf, bank, targets, reduction="sum").backward()
    assert leaf.grad is not None
    return leaf.grad


def _milliseconds(way: Callable[[], Tensor], device: str) -> float | str:
    """Median of a few runs after a first one; or why there is none."""
    try:
        return round(statistics.median(list(_timed(way, device))[1:]) * 1e3, 2)
    except CannotRun as reason:
        return f"not run: {reason}"
    except torch.OutOfMemoryError:
        return "not run: out of GPU memory"


def _timed(way: Callable[[], Tensor], device: str) -> Iterator[float]:
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        way()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        yield time.perf_counter() - started


def _mining(device: str, sizes: Sizes) -> Result:
    """The 20 nearest of each picture by FAISS, on the GPU and, for a sample, on the processor."""
    import faiss

    if not hasattr(faiss, "StandardGpuResources"):
        raise CannotRun("this FAISS has no GPU part; its wheel is the extra [gpu] (faiss-gpu-cu12)")
    vectors = np.random.default_rng(0).normal(size=(sizes.mined, sizes.dimensions)).astype(np.float32)
    faiss.normalize_L2(vectors)
    flat = faiss.IndexFlatIP(sizes.dimensions)
    flat.add(vectors)
    on_gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, flat)
    started = time.perf_counter()
    _, rows = on_gpu.search(vectors, 21)
    seconds = time.perf_counter() - started
    _, right = flat.search(vectors[:256], 21)
    shared = [len(set(a) & set(b)) / 21 for a, b in zip(rows[:256], right, strict=True)]
    return _judged(
        {"seconds": round(seconds, 2), "equal_neighbours": float(np.mean(shared))}, "equal_neighbours", "mined"
    )


def _two_processes(device: str, sizes: Sizes) -> Result:
    """Both trainings by two processes with NCCL."""
    if torch.cuda.device_count() < 2:
        raise CannotRun(f"two GPUs are needed, {torch.cuda.device_count()} is there")
    stage = {"steps": sizes.steps, **UNVALIDATED}
    recipe = _demo(sizes, {"stage1_checkpoint": stage, "stage2_checkpoint": stage})
    with tempfile.TemporaryDirectory() as folder:
        made = spn.run(recipe, folder, TRAINED_TO, processes=2)
        return {name: round(sum(one.summary["seconds"].values()), 2) for name, one in made.items()}


def _equality(device: str, sizes: Sizes) -> Result:
    """Picture vectors and the bank's gradient, here and on the processor."""
    from PIL import Image

    from spn4cir_core.embeddings.vision_tower import VisionTower

    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)) for _ in range(8)]
    here, there = (
        normalize(torch.from_numpy(VisionTower(model="builtin:shapes", device=one).start()(pictures)).float(), dim=-1)
        for one in (device, "cpu")
    )
    torch.manual_seed(0)
    bank = normalize(torch.randn(4096, 64), dim=-1)
    queries, targets = normalize(torch.randn(16, 64), dim=-1), torch.randint(4096, (16,))
    right = _streamed(queries, bank, targets)
    given = _streamed(queries.to(device), bank.to(device), targets.to(device)).cpu()
    result = {
        "vectors": float((here - there).abs().max()),
        "gradient": float((given - right).norm() / right.norm()),
    }
    return _judged(_judged(result, "vectors", "vectors"), "gradient", "gradient")


def _judged(result: Result, name: str, tolerance: str) -> Result:
    """The result, with whether a figure keeps to its tolerance."""
    limit = TOLERANCES[tolerance]
    is_within = result[name] >= limit if tolerance == "mined" else result[name] <= limit
    return {**result, f"{name}_is_within_{limit:g}": bool(is_within)}


PARTS: dict[str, Callable[[str, Sizes], Result]] = {
    "equality with the processor": _equality,
    "bank softmax": _bank_softmax,
    "captions, float16": _captions("float16"),
    "captions, bfloat16": _captions("bfloat16"),
    "training, bfloat16, chunks of 64": _training("bfloat16"),
    "training, float16, chunks of 64": _training("float16"),
    "mining by FAISS": _mining,
    "two processes with NCCL": _two_processes,
}


def check(device: str, sizes: Sizes, out: Path) -> dict[str, Any]:
    """Run the parts that are not in ``out``/gpu-check.json yet; it is written after each."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "gpu-check.json"
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name, part in PARTS.items():
        if "seconds_taken" in results.get(name, {}):
            continue
        started = time.perf_counter()
        try:
            if device.startswith("cuda") and not torch.cuda.is_available():
                raise CannotRun("torch sees no CUDA GPU")
            result: dict[str, Any] = {**part(device, sizes), "seconds_taken": round(time.perf_counter() - started, 1)}
        except CannotRun as reason:
            result = {"not run": str(reason)}
        except Exception as error:  # one part that fails must not hide the others; the table says so
            result = {"failed": f"{type(error).__name__}: {error}"}
        results[name] = result
        file.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def table(results: Mapping[str, Any]) -> Iterator[str]:
    """Markdown, one row a part."""
    yield "| part | result |"
    yield "|---|---|"
    for name, result in results.items():
        yield f"| {name} | {'; '.join(f'{key}: {value}' for key, value in result.items())} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny sizes")
    parser.add_argument("--out", type=Path, default=Path("gpu-check"))
    options = parser.parse_args()
    results = check(options.device, SMALL if options.small else Sizes(), options.out)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    lines = [f"{gpu}, torch {torch.__version__}, {platform.platform()}\n", *table(results)]
    (options.out / "gpu-check.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    if any("failed" in result for result in results.values()) or "false" in json.dumps(results):
        raise SystemExit("a part failed, or a result is not that of the processor")


if __name__ == "__main__":
    main()
