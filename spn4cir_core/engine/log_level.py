"""The log level of standard error: one for the command line and the processes that it starts."""

from __future__ import annotations

import logging
import os
import sys

from tqdm import tqdm

from spn4cir_core.errors import InputError

LOG_LEVEL = "SPN4CIR_LOG_LEVEL"
LEVELS = ("debug", "info", "warning", "error")
FORMAT, TIME = "%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S"
OWN = "spn4cir_core"


class AboveBars(logging.Handler):
    """Writes lines to standard error, above the progress bars that may stand there."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        tqdm.write(self.format(record), file=sys.stderr)


def set_log_level(level: str | None = None) -> None:
    """Tell messages of this level and above; those of other packages from ``warning`` on, with ``debug`` from ``info``.

    Args:
        level: one of ``LEVELS``, also for processes that are started from here; None: what the environment variable
            ``SPN4CIR_LOG_LEVEL`` says, else ``info``.

    Raises:
        InputError: there is no such level.
    """
    level_name = (level or os.environ.get(LOG_LEVEL) or "info").lower()
    if level_name not in LEVELS:
        raise InputError(f"log level {level_name!r}: it is one of {', '.join(LEVELS)} (--log-level or {LOG_LEVEL})")
    if level:
        os.environ[LOG_LEVEL] = level_name
    root = logging.getLogger()
    if not any(isinstance(handler, AboveBars) for handler in root.handlers):
        handler = AboveBars()
        handler.setFormatter(logging.Formatter(FORMAT, TIME))
        root.addHandler(handler)
    root.setLevel({"debug": logging.INFO, "error": logging.ERROR}.get(level_name, logging.WARNING))
    logging.getLogger(OWN).setLevel(level_name.upper())
