"""A throw-away PostgreSQL server, run by a user without privileges."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.dagster_dev import free_port

PATIENCE_S = 300
PASSWORD = "throw-away"


def programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; Debian does not put it on the path."""
    program = shutil.which("initdb")
    folders = [Path(program).resolve().parent] if program else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@contextmanager
def postgres_server(bin_folder: Path) -> Iterator[dict[str, str]]:
    """Runs a server with an empty database; gives the environment that ``deploy/dagster-postgres.yaml`` reads."""
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="spn4cir-postgres-"))
    (folder / "password").write_text(PASSWORD)
    if user:
        for path in (folder, folder / "password"):
            os.chown(path, pwd.getpwnam(user).pw_uid, -1)
    port, data = free_port(), folder / "data"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}

    def start(program: str, *words: str) -> subprocess.Popen[bytes]:
        log = (folder / f"{program}.log").open("wb")
        with log:
            return subprocess.Popen(
                [str(bin_folder / program), *words], user=user, cwd=folder, env=environment, stdout=log, stderr=log
            )

    made = start("initdb", "-D", str(data), "-U", "dagster", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}")
    assert made.wait(PATIENCE_S) == 0, (folder / "initdb.log").read_text()
    listen = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    server = start("postgres", "-D", str(data), "-p", str(port), *listen)
    try:
        end = time.monotonic() + PATIENCE_S
        while start("pg_isready", "-h", "127.0.0.1", "-p", str(port)).wait(PATIENCE_S):
            assert server.poll() is None and time.monotonic() < end, (folder / "postgres.log").read_text()
            time.sleep(0.1)
        access = {"HOST": "127.0.0.1", "PORT": str(port), "DB": "postgres", "USER": "dagster", "PASSWORD": PASSWORD}
        yield {f"DAGSTER_PG_{name}": value for name, value in access.items()}
    finally:
        server.send_signal(signal.SIGINT)  # does not wait for those who are connected
        server.wait(PATIENCE_S)
        shutil.rmtree(folder)
