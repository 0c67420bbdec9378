"""Dagster's SQLite files written without waiting for the disk at each event.

Dagster opens and closes a connection for each event, and events of one step are some ten. By itself each of them syncs
the disk at the commit, and again at the close, when SQLite takes the last connection for the end of all work. A run
that computes nothing then waits for the disk most of its time.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from typing import Any

from sqlalchemy import Engine, event

MOST_OPEN = 8
"""Files of which a connection stays open: those of one run, and the last ones."""

_open: OrderedDict[str, sqlite3.Connection] = OrderedDict()


@event.listens_for(Engine, "connect")
def ease(connection: Any, record: Any) -> None:
    """Let a new connection to a file sync at checkpoints only, and keep another one open so that its close is none.

    A process that is killed loses nothing. A power cut can lose the last events; it damages no file with a write-ahead
    log, and the one log of a run, which has none, on old file systems at most (sqlite.org/pragma.html, synchronous).
    """
    if not isinstance(connection, sqlite3.Connection):
        return
    file = next((path for _, name, path in connection.execute("PRAGMA database_list") if name == "main"), "")
    if not file:
        return
    connection.execute("PRAGMA synchronous=NORMAL")
    if file not in _open:
        _open[file] = sqlite3.connect(file, check_same_thread=False)
    _open[file].execute("PRAGMA schema_version").fetchone()  # it takes part once it has read
    _open.move_to_end(file)
    while len(_open) > MOST_OPEN:
        _open.popitem(last=False)[1].close()
