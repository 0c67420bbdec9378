"""Import annotated triplets of other layouts into the file that a corpus folder holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from spn4cir_core.annotations.import_circo import read_circo
from spn4cir_core.annotations.import_cirr import read_cirr
from spn4cir_core.annotations.import_fashioniq import read_fashioniq
from spn4cir_core.annotations.import_genecis import read_genecis
from spn4cir_core.annotations.import_lasco import read_lasco
from spn4cir_core.annotations.import_megapairs import read_megapairs
from spn4cir_core.annotations.import_tables import read_table
from spn4cir_core.annotations.records import ImagePaths, Record, write_records

Layout = Literal["fashioniq", "cirr", "circo", "genecis", "lasco", "megapairs", "csv", "jsonl", "parquet"]
READERS: Mapping[str, Callable[[Path], Iterator[Record]]] = {
    "circo": read_circo,
    "genecis": read_genecis,
    "lasco": read_lasco,
    "megapairs": read_megapairs,
}
DEFAULT_PATTERN: Mapping[Layout, str] = {"fashioniq": "{name}.png", "cirr": "{name}.png"}


def import_annotations(
    layout: Layout,
    files: Sequence[Path],
    out: Path,
    image_tables: Sequence[Path] = (),
    pattern: str = "",
    columns: Mapping[str, str] | None = None,
) -> tuple[int, Counter[str]]:
    """Write ``triplets.csv`` or ``queries.csv`` from files of one layout; the name of ``out`` decides which.

    Args:
        image_tables: JSON files from image name to path relative to the corpus folder.
        pattern: the path of an image where there is no table; default ``{name}.png`` for FashionIQ and CIRR.
        columns: for tables, the file's names of fields, see :func:`read_table`.

    Returns:
        Rows written, and rows left out by reason.

    Raises:
        InputError: a file cannot be used, or ``out`` cannot be written.
    """
    paths = ImagePaths.read(image_tables, pattern or DEFAULT_PATTERN.get(layout, "{name}"))
    records = (record for file in files for record in read_records(layout, file, columns or {}))
    return write_records(records, paths, out)


def read_records(
    layout: Layout, path: Path, columns: Mapping[str, str], as_published: bool = False
) -> Iterator[Record]:
    """The triplets of one file.

    Args:
        as_published: of FashionIQ and CIRR: as the published code reads it, oddities included.

    Raises:
        InputError: the file is not of that layout.
    """
    if layout == "fashioniq":
        return read_fashioniq(path, as_published)
    if layout == "cirr":
        return read_cirr(path, as_published)
    if layout in READERS:
        return READERS[layout](path)
    return read_table(path, layout, columns)
