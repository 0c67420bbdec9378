"""Captions from the titles that a corpus already has; another captioner fills the gaps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

from PIL import Image
from pydantic import Field
from typing_extensions import override

from spn4cir_core.captions.base import CAPTIONERS, Captioner, ToCaption
from spn4cir_core.captions.labels import LABEL_COLUMNS, column_ranks, folded, label_columns, with_label
from spn4cir_core.captions.readings import Reading
from spn4cir_core.captions.sidecar import first_of
from spn4cir_core.captions.tags import Tags
from spn4cir_core.captions.title_text import clean_title, is_file_name
from spn4cir_core.engine.plugins import Choice
from spn4cir_core.errors import InputError, MissingExtra
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.models.lite0_levels import Lite0Levels
from spn4cir_core.store.fingerprints import fingerprint, plain

log = logging.getLogger(__name__)
VERSION = 3
"""Goes up whenever the same metadata would give other words."""
COLUMNS = ("caption", "title", "alt_text", "alt", "text", "name", "description")
"""What is nearest to a sentence about the picture comes first; a description speaks of the whole product."""
FEW = 0.5
"""A column with fewer values than this share of the fullest one's only fills gaps, whatever its name."""


class Auto(Captioner):
    """The metadata's titles, cleaned; ``fallback`` captions the pictures that have none.

    A column counts by its name in any case, with blanks or hyphens for underscores. One that has a single value for
    all pictures, or file names, is no title. A title that does not name the picture's label gets it: "Granny Smith
    apple".
    """

    plugin_kind: ClassVar[str] = "auto"
    columns: tuple[str, ...] = COLUMNS
    """Names of columns, the preferred first. A picture's caption is the first of them that has a value."""
    label_columns: tuple[str, ...] = LABEL_COLUMNS
    """Names of columns with labels, the preferred first; the first one that has labels completes titles. None: ()."""
    most_words: int = Field(default=40, ge=3, le=1000)
    """A longer title is cut at the end of a sentence or phrase."""
    fallback: Annotated[Captioner, Choice(CAPTIONERS)] = Field(default_factory=Tags)

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        """Hash of the settings and the fallback, or that it is not installed: then its pictures have no caption."""
        try:
            fallback = self.fallback.fingerprint(files)
        except MissingExtra:
            fallback = "not installed"
        return fingerprint({**plain(self), "version": VERSION, "fallback": fallback})

    @override
    def for_corpus(self, images: Sequence[ToCaption], files: ImageFiles) -> Captioner:
        """With the corpus's own columns, the fullest of the preferred ones first."""
        rank = column_ranks(self.columns)
        named = {column for image in images for column in image.attributes if folded(column) in rank}
        values = {column: [title for image in images if (title := self._title(image, column))] for column in named}
        values = {column: titles for column, titles in values.items() if len(titles) < 2 or len(set(titles)) > 1}
        values = {column: titles for column, titles in values.items() if titles}
        fullest = max((len(titles) for titles in values.values()), default=0)
        order = sorted(values, key=lambda column: (len(values[column]) < FEW * fullest, rank[folded(column)], column))
        if not order:
            self._check_fallback(files, len(images))
        for column in sorted(named - values.keys()):
            log.warning("captions: metadata column %r is not used: it has no titles, or one for all pictures", column)
        self._report_order(order, {column: len(values[column]) for column in order}, len(images))
        labels = [name for name in label_columns(images, self.label_columns) if name not in order][:1] if order else []
        if labels:
            log.info("captions: titles that do not name the metadata's %r get it", *labels)
        return self.model_copy(update={"columns": tuple(order), "label_columns": tuple(labels)})

    @override
    def for_uploads(self) -> Captioner | None:
        """The fallback's: an upload has no title."""
        return self.fallback.for_uploads()

    @override
    def metadata_columns(self) -> tuple[str, ...]:
        return (*self.columns, *self.label_columns, *self.fallback.metadata_columns())

    @override
    def opens(self, image: ToCaption) -> bool:
        return not self._titled(image)[1] and self.fallback.opens(image)

    @override
    def trunk_for(self, image: ToCaption) -> Lite0Levels | None:
        return None if self._titled(image)[1] else self.fallback.trunk_for(image)

    @override
    def names_colour(self, image: ToCaption) -> bool:
        return not self._titled(image)[1] and self.fallback.names_colour(image)

    @override
    def is_answer(self, image: ToCaption) -> bool:
        return not self._titled(image)[1] and self.fallback.is_answer(image)

    @override
    def origin(self, image: ToCaption) -> str:
        """The column, or the fallback's kind."""
        return self._titled(image)[0] or self.fallback.origin(image)

    @override
    def prompt(self, image: ToCaption) -> str:
        """Empty for a title."""
        return "" if self._titled(image)[1] else self.fallback.prompt(image)

    @override
    def row_key(self, image: ToCaption) -> str:
        """A title hangs on the metadata, not on the pixels."""
        _, title = self._titled(image)
        return f"title {image.path} {title}" if title else self.fallback.row_key(image)

    @override
    def readings(self, images: Sequence[ToCaption], captions: Sequence[str]) -> list[Sequence[Reading]]:
        """The fallback's; a title has none."""
        untitled = [number for number, image in enumerate(images) if not self._titled(image)[1]]
        rows = [images[number] for number in untitled], [captions[number] for number in untitled]
        readings: list[Sequence[Reading]] = [() for _ in images]
        for number, own in zip(untitled, self.fallback.readings(*rows) if untitled else (), strict=True):
            readings[number] = own
        return readings

    @override
    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str | None]]:
        """Load nothing; the fallback is loaded by the first picture without a title."""
        return _Captioning(self, files)

    def _titled(self, image: ToCaption) -> tuple[str, str]:
        """Column and title of a picture; both empty where it has none."""
        key = (self.columns, self.label_columns, self.most_words)
        if key not in image.worked_out:
            image.worked_out[key] = self._read_title(image)
        column, title = image.worked_out[key]
        return column, title

    def _read_title(self, image: ToCaption) -> tuple[str, str]:
        rank = column_ranks(self.columns)
        columns = [column for column in image.attributes if folded(column) in rank]
        for column in sorted(columns, key=lambda column: (rank[folded(column)], column)):
            if title := self._title(image, column):
                return column, with_label(title, image, self.label_columns)
        return "", ""

    def _title(self, image: ToCaption, column: str) -> str:
        value = first_of(image.attributes.get(column, ""))
        return "" if is_file_name(value, image.path) else clean_title(value, self.most_words)

    def _check_fallback(self, files: ImageFiles, count: int) -> None:
        try:
            self.fallback.fingerprint(files)
        except MissingExtra as error:
            raise InputError(
                f"none of the {count} pictures has a title (a metadata column {', '.join(self.columns)}), and the "
                f"captioner {self.fallback.plugin_kind!r} cannot run: {error}. Give one of the two"
            ) from error

    def _report_order(self, order: Sequence[str], counts: dict[str, int], count: int) -> None:
        if not order:
            log.info("captions: no metadata column has titles; all %d by %r", count, self.fallback.plugin_kind)
            return
        first = order[0]
        log.info("captions: metadata column %r has titles of %d of %d pictures", first, counts[first], count)
        if len(order) > 1:
            log.info(
                "captions: %r goes before %s: preferred are, in this order, %s, unless another has twice the values; "
                "the others fill its gaps",
                first,
                ", ".join(f"{column!r} ({counts[column]})" for column in order[1:]),
                ", ".join(self.columns),
            )


class _Captioning:
    """Captions batches: titles at once, the rest by the fallback."""

    def __init__(self, settings: Auto, files: ImageFiles) -> None:
        self._settings = settings
        self._fallback = FirstUse(lambda: settings.fallback.start(files))
        self._missing = ""
        try:
            settings.fallback.fingerprint(files)
        except MissingExtra as error:
            self._missing = str(error)

    @property
    def counts(self) -> dict[str, float]:
        """The fallback's."""
        return self._fallback.counts

    def __call__(self, images: Sequence[ToCaption], pictures: Sequence[Image.Image]) -> list[str | None]:
        captions: list[str | None] = [self._settings._titled(image)[1] for image in images]
        rest = [index for index, caption in enumerate(captions) if not caption]
        if rest and self._missing:
            log.warning("captions: %d pictures have no title and get no caption: %s", len(rest), self._missing)
        elif rest:
            answers = self._fallback([images[index] for index in rest], [pictures[index] for index in rest])
            for index, answer in zip(rest, answers, strict=True):
                captions[index] = answer
        return captions
