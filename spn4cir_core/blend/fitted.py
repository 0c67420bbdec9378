"""A fitted blend: its channels by name, with weights, uncertainty and calibration, as it is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from spn4cir_core.blend.blend import LEAST_SHARE_CAPTIONED, Blend
from spn4cir_core.blend.calibration import Calibration
from spn4cir_core.channels.base import CHANNELS, Channel, ComposedQueries, Gallery
from spn4cir_core.channels.missing_caption import MissingCaption
from spn4cir_core.errors import StoreError
from spn4cir_core.models.sentence_encoder import SentenceEncoder
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.whole_file import read_json
from spn4cir_core.training.roles import ROLES

BLEND_FILE, BLEND_TABLE = "blend.json", "blend.parquet"
"""What search reads, and the same weights as a table, one row per channel."""
FORMAT = 2
QUERIES_AT_ONCE = 64


@dataclass(frozen=True)
class ChannelWeight:
    """One channel's part in the blend."""

    name: str
    """A kind of channel, or the model whose query encoder it is."""
    weight: float
    """Factor of the standard score; 0: the channel does not help."""
    low: float
    high: float
    """95 % interval of the weight over resampled validation queries."""
    recall: float
    """Recall@1 of the channel alone on the validation queries."""
    recall_without: float
    """Recall@1 of the blend without it."""
    without_reference: float = 0
    """Weight where the reference image has no caption."""
    without_caption: float = 0
    """Weight of a picture without a caption."""
    without_either: float = 0
    """Weight where neither has a caption."""
    without_text: float | None = None
    """Weight of a picture without a caption in a search by a picture alone; None: as with a text."""


@dataclass(frozen=True)
class FittedBlend:
    """A blend with what is known of its fit."""

    channels: tuple[ChannelWeight, ...]
    calibration: Calibration
    sentence_encoder: SentenceEncoder | None = None
    """What made the vectors of captions; None: nothing did."""
    caption_sources: tuple[str, ...] | None = None
    """Where the captions are from that the weights were fitted on; captions from elsewhere count as missing."""
    least_share: float = LEAST_SHARE_CAPTIONED
    """Share of captioned pictures from which on captions count for a reference image that has none."""

    @cached_property
    def blend(self) -> Blend:
        """What scores."""
        without_reference_C, without_caption_C, without_either_C = (
            np.array([getattr(channel, name) for channel in self.channels], np.float32)
            for name in ("without_reference", "without_caption", "without_either")
        )
        of_text = [channel.without_text for channel in self.channels]
        without_text_C = None if None in of_text else np.array(of_text, np.float32)
        channels = [channel_of(name) for name in self.names]
        return Blend(
            *(channels, self.calibration, self.weight_C, without_reference_C, without_caption_C, without_either_C),
            *(without_text_C, self.least_share),
        )

    @cached_property
    def weight_C(self) -> np.ndarray:
        """(C,) float32 weights."""
        return np.array([channel.weight for channel in self.channels], np.float32)

    @cached_property
    def used(self) -> tuple[int, ...]:
        """Positions of the channels that have a weight, with captions or without."""
        return self.blend.used

    @cached_property
    def scored(self) -> tuple[int, ...]:
        """Positions of the channels that gave pictures different scores when the weights were fitted."""
        missing_C = np.array([name == MissingCaption.plugin_kind for name in self.names], bool)
        return tuple(np.flatnonzero(np.where(missing_C, 0, self.calibration.deviation_C)).tolist())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all channels."""
        return tuple(channel.name for channel in self.channels)

    @property
    def used_channels(self) -> list[Channel]:
        """The channels that have a weight, with captions or without."""
        return [self.blend.channels[number] for number in self.used]

    def contributions(self, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None) -> np.ndarray:
        """(Q, U, K) float32: what each of the U channels in use adds to the score."""
        if not self.used:
            return self.blend.contributions(gallery, queries, rows_K)[:, :0]
        return np.stack([self.blend.part(number, gallery, queries, rows_K) for number in self.used], axis=1)

    def standard_scores(self, gallery: Gallery, queries: ComposedQueries) -> np.ndarray:
        """(Q, C, N) float32 standard scores of all channels, for measuring each of them."""
        return self.calibration.apply(
            np.stack([channel.scores(gallery, queries) for channel in self.blend.channels], axis=1)
        )

    def as_table(self) -> dict[str, Any]:
        """The fit as JSON values."""
        return {
            "format": FORMAT,
            "channels": [{**asdict(channel), "title": title_of(channel.name)} for channel in self.channels],
            "calibration": self.calibration.as_table(),
            "caption_sources": self.caption_sources,
            "least_share_captioned": self.least_share,
            "sentence_encoder": None
            if self.sentence_encoder is None
            else self.sentence_encoder.model_dump(mode="json"),
        }

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> FittedBlend:
        """The reverse of :meth:`as_table`.

        Raises:
            ValueError: another version wrote it.
        """
        if table["format"] != FORMAT:
            raise ValueError(f"format {table['format']}, and not {FORMAT}; bring it up to date with: spn4cir run")
        channels = [{key: value for key, value in row.items() if key != "title"} for row in table["channels"]]
        encoder = table["sentence_encoder"]
        return cls(
            tuple(ChannelWeight(**row) for row in channels),
            Calibration.from_table(table["calibration"]),
            None if encoder is None else SentenceEncoder.model_validate(encoder),
            None if table["caption_sources"] is None else tuple(table["caption_sources"]),
            table.get("least_share_captioned", LEAST_SHARE_CAPTIONED),
        )


def channel_of(name: str) -> Channel:
    """The channel of that name: a kind, else the query encoder of the model of that name."""
    channel: Channel = CHANNELS.build(name if name in CHANNELS.members else {"kind": "trained", "vectors": name})
    return channel


@lru_cache(maxsize=256)
def title_of(name: str) -> str:
    """What people call the channel."""
    return f"trained encoder, {ROLES[name].label}" if name in ROLES else channel_of(name).title


def read_blend(artifact: Artifact) -> FittedBlend:
    """The blend that a ``blend`` or ``search_index`` artefact holds.

    Raises:
        StoreError: the artefact is from before there were blends, or its file is damaged.
    """
    if BLEND_FILE not in artifact.summary["files"]:
        raise StoreError(
            f"{artifact.noun} {artifact.fingerprint} was made before search blended its channels; bring it up to date "
            "with: spn4cir run"
        )
    try:
        return FittedBlend.from_table(read_json(artifact.file(BLEND_FILE)))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{artifact.file(BLEND_FILE)} does not describe a blend: {error}") from error


def in_parts(queries: int) -> Iterator[slice]:
    """Slices of so many queries as are scored at once."""
    return (slice(start, start + QUERIES_AT_ONCE) for start in range(0, queries, QUERIES_AT_ONCE))


def part_of(queries: ComposedQueries, part: slice) -> ComposedQueries:
    """Some of the queries."""
    texts: Sequence[str] = queries.modified_texts[part]
    vectors = {name: vectors_QD[part] for name, vectors_QD in queries.vectors.items()}
    references = None if queries.references is None else queries.references[part]
    return ComposedQueries(texts, queries.reference_captions[part], queries.edited[part], vectors, references)
