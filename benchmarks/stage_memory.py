"""Memory of a run, stage by stage: ``python -m benchmarks.stage_memory run --recipe folder --images DIR``.

The words are those of the command line. Standard error gets, for each stage, the peak of its resident memory, what of
it was the process's own and what pages of files, and what is left at its end, in MB. Linux only.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

from spn4cir_core.cli.app import main
from spn4cir_core.engine.stage import Stage

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
EVERY_S = 0.01


def memory_mb() -> dict[str, int]:
    """The kernel's figures of this process: its peak since the last reset, and what is resident."""
    figures = re.findall(r"^(VmHWM|VmRSS|RssAnon|RssFile):\s+(\d+)", STATUS.read_text(), re.MULTILINE)
    return {name: int(kilobytes) // 1024 for name, kilobytes in figures}


class Highest:
    """The figures of the moment when most was resident, looked at in a thread."""

    def __init__(self) -> None:
        self.most = memory_mb()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            now = memory_mb()
            if now["VmRSS"] > self.most["VmRSS"]:
                self.most = now
            time.sleep(EVERY_S)


def watch_stages() -> None:
    """Have every stage print its memory when it has run."""
    run, highest = Stage.run, Highest()

    def watched(stage: Stage[Any], *arguments: Any, **named: Any) -> Any:
        CLEAR.write_text(RESET_PEAK)
        highest.most = memory_mb()
        result = run(stage, *arguments, **named)
        end, most = memory_mb(), highest.most
        print(
            f"{stage.name:<20} peak {end['VmHWM']:>5,} (own {most['RssAnon']:,}, files {most['RssFile']:,}), at the end"
            f" {end['VmRSS']:,} (own {end['RssAnon']:,}, files {end['RssFile']:,})",
            file=sys.stderr,
            flush=True,
        )
        return result

    Stage.run = watched  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    watch_stages()
    main()
