#!/usr/bin/env bash
# Given a socket made by socket.socket(AF_INET, SOCK_STREAM), uvicorn on asyncio's loop answers each small request of an open
# connection some 40 ms late; with IPPROTO_TCP named, or when uvicorn binds by itself, within a few. asyncio switches
# Nagle's algorithm off only where a socket's own `proto` is TCP, and the two-argument socket says 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check --only-binary :all: uvicorn==0.54.0 h11==0.16.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import http.client
import socket
import statistics
import sys
import threading
import time
from importlib.metadata import version

import uvicorn

print("uvicorn", version("uvicorn"), "h11", version("h11"), "Python", sys.version.split()[0])


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def milliseconds(protocol):
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    bound.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, loop="asyncio", http="h11", lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    connection = http.client.HTTPConnection("127.0.0.1", bound.getsockname()[1])
    times = []
    for _ in range(30):
        started = time.perf_counter()
        connection.request("GET", "/")
        connection.getresponse().read()
        times.append(1000 * (time.perf_counter() - started))
    connection.close()
    server.should_exit = True
    thread.join()
    return statistics.median(times)


unnamed, named = milliseconds(0), milliseconds(socket.IPPROTO_TCP)
print(f"median of 30 answers: protocol 0 {unnamed:.1f} ms, IPPROTO_TCP {named:.1f} ms")
sys.exit(not unnamed > named + 25)
PYTHON
