"""What a stage on the accelerator asks its cluster for: op tags that Ray and Kubernetes read and others ignore."""

from __future__ import annotations

import os
from typing import Any

GPU = "nvidia.com/gpu"
"""The resource as NVIDIA's device plugin names it, and the usual taint of GPU nodes."""


def gpu_requests() -> dict[str, Any]:
    """Tags for one step: as many GPUs as ``SPN4CIR_GPUS`` says, else one for each of ``SPN4CIR_PROCESSES``.

    With ``SPN4CIR_GPUS=0``, for a cluster without GPUs, there are none.

    Raises:
        ValueError: it is not a whole number from 0.
    """
    given = os.environ.get("SPN4CIR_GPUS") or os.environ.get("SPN4CIR_PROCESSES") or "1"
    if not given.isdecimal():
        raise ValueError(f"SPN4CIR_GPUS={given!r}: the number of GPUs of one step, 0 for a cluster without GPUs")
    gpus = int(given)
    if not gpus:
        return {}
    toleration = {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}
    return {
        "dagster-ray/config": {"num_gpus": gpus},
        "dagster-k8s/config": {
            "container_config": {"resources": {"limits": {GPU: str(gpus)}}},
            "pod_spec_config": {"tolerations": [toleration]},
        },
    }
