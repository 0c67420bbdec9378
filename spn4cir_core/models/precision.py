"""What frozen networks compute in: float32, or bfloat16 where this machine's processor has instructions for it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

FloatFormat = Literal["float32", "bfloat16"]
Precision = Literal["auto", "float32", "bfloat16"]
"""``auto`` is bfloat16 where the processor has instructions for it. Fingerprints hold what it comes to."""
INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}
PROCESSOR = Path("/proc/cpuinfo")


def precision_of(setting: Precision) -> FloatFormat:
    """What a setting comes to on this machine."""
    if setting != "auto":
        return setting
    return "bfloat16" if has_bfloat16() else "float32"


@cache
def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; without them it is slower than float32.

    Read from the system, since fingerprints need it where nothing else loads torch.
    """
    try:
        flags = next(line for line in PROCESSOR.read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return bool(INSTRUCTIONS & set(flags.split()))
