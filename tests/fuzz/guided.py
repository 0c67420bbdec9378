"""Coverage-guided fuzzing of one reader with atheris, which is no dependency of the tests::

    pip install atheris && python -m tests.fuzz.guided triplets.csv -max_total_time=600

The reader's name comes first (``READERS`` in readers.py), then libFuzzer's own options. An error that is none of this
package's ends it and leaves the input behind.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["spn4cir_core"]):
        from spn4cir_core.errors import Spn4cirError
        from tests.fuzz.readers import READERS
    warnings.simplefilter("ignore")
    name = sys.argv.pop(1)
    reader, folder = READERS[name], Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    path = folder / reader.name

    def attempt(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(Spn4cirError):
            reader.read(path)

    samples = folder / "samples"
    samples.mkdir()
    for number, sample in enumerate(reader.samples):
        (samples / str(number)).write_bytes(sample)
    atheris.Setup([*sys.argv, str(samples)], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
