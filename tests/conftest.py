"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.fingerprints import fingerprint
from tests.s3_servers import Cloud, s3_server

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C, its children too


@pytest.fixture(autouse=True)
def threads_of_torch() -> Iterator[None]:
    """As before the test, whoever set them: where MKL multiplies, the last bits of vectors depend on their number."""
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    yield
    if before is not None:
        sys.modules["torch"].set_num_threads(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs and annotations, where a developer or CI has them; never part of the repository."""
    folder = Path(os.environ.get("SPN4CIR_TEST_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set SPN4CIR_TEST_DATA to a copy")
    return folder.resolve()


@pytest.fixture(scope="session")
def two_towers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small CLIP as a folder of sentence-transformers; tests that change it copy it first."""
    from tests.embeddings.small_models import write_sentence_transformers

    return write_sentence_transformers(tmp_path_factory.mktemp("two_towers"))


@pytest.fixture(scope="session")
def composing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small Qwen3-VL that embeds pictures, texts and both, as such a folder."""
    from tests.embeddings.small_models import write_composing

    return write_composing(tmp_path_factory.mktemp("composing"))


class HandWritten:
    """A store in which a test writes parents by hand, for the recipe ``test``."""

    recipe = "test"

    def __init__(self, root: Path) -> None:
        self.store = Store(root)

    def __call__(
        self,
        noun: str,
        drops: Mapping[str, int] | None = None,
        json: Mapping[str, Any] | None = None,
        **tables: list[dict[str, Any]] | pa.Table,
    ) -> Artifact:
        """Write an artefact of named tables: ``hand_written("captions", captions=[{"image_id": …, "caption": …}])``."""
        arrow = {
            name: rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows) for name, rows in tables.items()
        }
        content = {name: table.to_pylist() for name, table in arrow.items()}
        digest = fingerprint({"drops": drops or {}, "json": json or {}, "tables": content})
        if self.store.get(noun, digest) is None:
            with self.store.writing(noun, digest, {"parents": {}}) as draft:
                for name, table in arrow.items():
                    draft.write_table(table, f"{name}.parquet")
                for name, value in (json or {}).items():
                    draft.write_json(value, f"{name}.json")
                draft.rows = max((len(table) for table in arrow.values()), default=0)
                draft.drops.update(drops or {})
        artifact = self.store.get(noun, digest)
        assert artifact is not None
        self.store.point(self.recipe, artifact)
        return artifact


@pytest.fixture
def hand_written(tmp_path: Path) -> HandWritten:
    """Writes artefacts by hand into a fresh store (``hand_written.store``), for the recipe named ``test``."""
    return HandWritten(tmp_path / "hand_written")


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """The port of an S3 server with an empty bucket, one for all modules."""
    s3fs = pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    with s3_server() as port:
        s3fs.S3FileSystem(key="any", secret="any", endpoint_url=f"http://127.0.0.1:{port}").mkdir("bucket")
        yield port


@pytest.fixture
def cloud(s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A store of its own on that server."""
    return Cloud(s3_port, tmp_path, monkeypatch)
