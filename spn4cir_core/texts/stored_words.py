"""The words of many captions, counted once: tables that are opened in place, however many captions there are.

A table of words has a row a word, one of captions a row a caption, and a table of kinds a row a stem.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from spn4cir_core.errors import StoreError
from spn4cir_core.index.text_rows import TextRows, as_numbers
from spn4cir_core.texts.caption_words import CaptionWords, Runs
from spn4cir_core.texts.word_kinds import WordKinds


def words_tables(words: CaptionWords) -> tuple[pa.Table, pa.Table]:
    """A table of words (with the captions that have each) and one of captions (with the words of each)."""
    of_words = {"word": pa.array(list(words.column), pa.large_string()), "rarity": words.rarity_V}
    of_captions = {"norm": words.norm_N}
    by_word, by_caption = (
        {"numbers": _lists(runs.start, runs.number_E), "weights": _lists(runs.start, runs.weight_E)}
        for runs in (words.by_word, words.by_caption)
    )
    return pa.table(of_words | by_word), pa.table(of_captions | by_caption)


def words_from(by_word: pa.Table, by_caption: pa.Table) -> CaptionWords:
    """The words that :func:`words_tables` gave; arrays stay where they are."""
    runs = _runs(by_caption)
    return CaptionWords(
        _runs(by_word),
        runs,
        as_numbers(_whole(by_caption, "norm")),
        TextRows(_whole(by_word, "word")),
        as_numbers(_whole(by_word, "rarity")),
        np.diff(runs.start) > 0,
    )


def kinds_table(kinds: WordKinds) -> pa.Table:
    """A row a stem: the positions and phrases that it is seen in, and whether noun phrases end with it."""
    stems = sorted({*kinds.phrases, *kinds.positions, *kinds.heads})
    none = np.zeros(0, np.int32)
    seen = ([numbers.get(stem, none) for stem in stems] for numbers in (kinds.positions, kinds.phrases))
    positions, phrases = (
        _lists(np.cumsum([0, *map(len, lists)]), np.concatenate([none, *lists]).astype(np.int32)) for lists in seen
    )
    is_head = pa.array([stem in kinds.heads for stem in stems], pa.bool_())
    return pa.table(
        {"stem": pa.array(stems, pa.large_string()), "positions": positions, "phrases": phrases, "is_head": is_head}
    )


def kinds_from(table: pa.Table) -> WordKinds:
    """The kinds that :func:`kinds_table` gave."""
    stems = table["stem"].to_pylist()
    lists = (_whole(table, name) for name in ("positions", "phrases"))
    positions, phrases = (
        {
            stem: numbers_E[start:end]
            for stem, start, end in zip(stems, starts[:-1], starts[1:], strict=True)
            if end > start
        }
        for starts, numbers_E in ((one.offsets.to_pylist(), as_numbers(one.values)) for one in lists)
    )
    heads = (stem for stem, is_head in zip(stems, table["is_head"].to_pylist(), strict=True) if is_head)
    return WordKinds(positions, phrases, frozenset(heads))


def write_in_place(table: pa.Table, path: Path) -> None:
    """Write a table as one Arrow file that :func:`open_in_place` maps."""
    with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def open_in_place(path: Path) -> pa.Table:
    """A table whose columns are read from the file when they are needed.

    Raises:
        StoreError: the file is not a table.
    """
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except pa.ArrowInvalid as error:
        raise StoreError(f"{path} is damaged ({error}). Delete {path.parent} and run again.") from error


def _lists(start: np.ndarray, values_E: np.ndarray) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(pa.array(start, pa.int64()), pa.array(values_E))


def _runs(table: pa.Table) -> Runs:
    numbers, weights = _whole(table, "numbers"), _whole(table, "weights")
    return Runs(*map(as_numbers, (numbers.offsets, numbers.values, weights.values)))


def _whole(table: pa.Table, name: str) -> pa.Array:
    """A column as one array: where it is one already, it stays in the file."""
    column = table[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
