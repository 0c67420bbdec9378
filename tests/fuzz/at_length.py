"""Many damaged files for every reader, faster than hypothesis makes them.

Usage: python -m tests.fuzz.at_length SECONDS [SEED]. Each reader gets its share of the seconds. Told: inputs a reader,
how many of them were read, and those that failed with an error that is none of this package's.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from spn4cir_core.errors import Spn4cirError
from tests.fuzz.inputs import TOKENS
from tests.fuzz.readers import READERS, Reader

ODD_VALUES = (None, True, -1, 2**70, 1e308, float("nan"), "", "..", "a\0b", "\ud800", "x" * 300, [], {}, [[]], {"": {}})


def damage(data: bytes, draw: random.Random) -> bytes:
    """Up to six damages: bytes changed, cut out, doubled, something odd put in, the end cut off."""
    result = bytearray(data)
    for _ in range(draw.randint(1, 6)):
        position, length = draw.randint(0, len(result)), draw.randint(1, 9)
        how = draw.randrange(12)
        if how < 5:
            result[position : position + length] = draw.randbytes(length)
        elif how < 7:
            del result[position : position + length]
        elif how < 8:
            result[position:position] = result[position : position + length * 4]
        elif how < 11:
            result[position:position] = draw.choice(TOKENS)
        else:
            del result[position:]
    return bytes(result)


def bend(value: Any, draw: random.Random) -> Any:
    """The same structure, here and there with something else in place of a part."""
    if draw.random() < 0.12:
        return draw.choice(ODD_VALUES)
    if isinstance(value, dict):
        return {key: bend(item, draw) for key, item in value.items() if draw.random() > 0.05}
    if isinstance(value, list):
        return [bend(item, draw) for item in value * draw.choice((1, 1, 2))]
    return value


def one_of(reader: Reader, draw: random.Random) -> bytes:
    """An input: a damaged sample, or where that is JSON as often one of another structure."""
    sample = draw.choice(reader.samples)
    if reader.name.endswith(".json") and draw.random() < 0.5:
        return json.dumps(bend(json.loads(sample), draw)).encode()
    return damage(sample, draw)


def fuzz(name: str, seconds: float, draw: random.Random, folder: Path) -> Counter[str]:
    """Read inputs for so long; what fails is told at once, at most once per place in the code."""
    reader, counts, known = READERS[name], Counter[str](), set[str]()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = one_of(reader, draw)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = folder / reader.name
        path.write_bytes(data)
        counts["inputs"] += 1
        try:
            reader.read(path)
            counts["read"] += 1
        except Spn4cirError:
            counts["refused"] += 1
        except Exception as error:
            counts["failed"] += 1
            position = str(traceback.extract_tb(error.__traceback__)[-1])
            if position not in known:
                known.add(position)
                print(f"{name}: {error!r} at {position}: {base64.b64encode(data).decode()[:2000]}", flush=True)
    return counts


def line(name: str, counts: Counter[str]) -> str:
    return f"{name:<20} {counts['inputs']:>9,} inputs {counts['read']:>9,} read {counts['failed']:>6,} failed"


def main() -> None:
    seconds, draw = float(sys.argv[1]), random.Random(sys.argv[2] if len(sys.argv) > 2 else 0)
    warnings.simplefilter("ignore")
    logging.disable()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        total = Counter[str]()
        for name in READERS:
            counts = fuzz(name, seconds / len(READERS), draw, Path(scratch) / "input")
            total += counts
            print(line(name, counts), flush=True)
    print(line("all", total))


if __name__ == "__main__":
    main()
