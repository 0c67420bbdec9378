"""One setting, ``SPN4CIR_EXECUTOR``, picks how the steps of a run are executed."""

from __future__ import annotations

import dagster as dg

EXECUTORS: dict[str, dg.ExecutorDefinition] = {
    "in_process": dg.in_process_executor,
    "multiprocess": dg.multiprocess_executor.configured({"max_concurrent": 2}),
}


def executor_for(name: str) -> dg.ExecutorDefinition:
    """The executor of that name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in EXECUTORS:
        raise ValueError(f"SPN4CIR_EXECUTOR={name!r}: known executors are {', '.join(EXECUTORS)}")
    return EXECUTORS[name]
