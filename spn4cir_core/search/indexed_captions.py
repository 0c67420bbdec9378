"""Captions of a search index, and their words, which are counted when the index is made."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.blend.fitted import FittedBlend, read_blend
from spn4cir_core.channels.base import Gallery, WordChannel
from spn4cir_core.errors import StoreError
from spn4cir_core.index.text_rows import Texts
from spn4cir_core.search.index_table import IndexedImages, read_indexed_images
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.draft import Draft
from spn4cir_core.store.whole_file import whole_file
from spn4cir_core.texts.caption_words import CaptionWords
from spn4cir_core.texts.count_words import CountedCaptions
from spn4cir_core.texts.stored_words import (
    kinds_from,
    kinds_table,
    open_in_place,
    words_from,
    words_tables,
    write_in_place,
)
from spn4cir_core.texts.word_kinds import WordKinds

KINDS_FILE, WORDS_FILE, CAPTIONS_FILE = "word_kinds.arrow", "caption_words.arrow", "words_of_captions.arrow"


@dataclass(frozen=True)
class IndexedGallery(Gallery):
    """The pictures of an index.

    Attributes:
        counted: the words of the captions; None: they are counted at the first use.
    """

    counted: CaptionWords | None = None

    @cached_property
    def words(self) -> CaptionWords:
        """Of the captions."""
        return self.counted or CaptionWords.of(self.captions)


def counted_captions(images: IndexedImages, blend: FittedBlend) -> Texts:
    """The captions that the blend reads: those of other sources are empty."""
    captions = images.columns["caption"]
    if blend.caption_sources is None:
        return Texts(captions)
    sources = images.columns["caption_source"]
    if {*pc.unique(sources).to_pylist()} <= {*blend.caption_sources}:
        return Texts(captions)
    counts_N = pc.is_in(sources, value_set=pa.array(blend.caption_sources, sources.type))
    return Texts(pc.if_else(counts_N, captions, pa.scalar("", captions.type)))


def counts_words(blend: FittedBlend) -> bool:
    """Whether a channel in use looks words up in captions."""
    return any(isinstance(channel, WordChannel) for channel in blend.used_channels)


def write_words(draft: Draft, images: IndexedImages, blend: FittedBlend, earlier: Artifact | None = None) -> None:
    """Write the kinds of words of the captions, and the words themselves where a channel looks them up.

    Args:
        earlier: an index of the same version, whose captions are not counted anew.
    """
    captions = counted_captions(images, blend)
    tables = {KINDS_FILE: kinds_table(WordKinds.learn(captions))}
    if counts_words(blend):
        tables[WORDS_FILE], tables[CAPTIONS_FILE] = words_tables(CaptionWords.of(captions, _counted(earlier)))
    for name, table in tables.items():
        with whole_file(draft.file(name)) as scratch:
            write_in_place(table, scratch)


def _counted(earlier: Artifact | None) -> CountedCaptions | None:
    """The captions that an index has counted; None where there is none, it has counted none, or is damaged."""
    with suppress(StoreError):
        words = None if earlier is None else read_words(earlier)[0]
        counts = None if words is None else words.counts()
        if earlier is not None and counts is not None:
            captions = counted_captions(read_indexed_images(earlier), read_blend(earlier))
            return CountedCaptions({caption: row for row, caption in enumerate(captions)}, counts)
    return None


def read_words(index: Artifact) -> tuple[CaptionWords | None, WordKinds | None]:
    """What :func:`write_words` wrote; None for what an earlier version did not write, or no channel reads.

    Raises:
        StoreError: a file is damaged.
    """
    tables = {
        name: open_in_place(index.file(name))
        for name in (KINDS_FILE, WORDS_FILE, CAPTIONS_FILE)
        if name in index.summary["files"]
    }
    words = words_from(tables[WORDS_FILE], tables[CAPTIONS_FILE]) if WORDS_FILE in tables else None
    return words, kinds_from(tables[KINDS_FILE]) if KINDS_FILE in tables else None
