"""One judgement: who found which hit of which query right or wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from uuid import uuid4

from spn4cir_core.store.fingerprints import fingerprint

Verdict = Literal["right", "wrong", "unsure", "none", "withdrawn"]
"""Of one hit, or of a whole query ``none``: none of the shown hits is right. ``withdrawn`` takes the last one back."""
WHOLE_QUERY = ""
"""``image_id`` of a judgement on a whole query."""
Purpose = Literal["train", "validation", "evaluation"]
"""What judgements on a reference image serve: the split that the image was in when it was first judged."""
EVALUATION: Purpose = "evaluation"


def now() -> str:
    """Time of day in UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Stratum(NamedTuple):
    """A part of a judging queue, of which queries are drawn more often or less often than of others."""

    name: str = ""
    queries: int = 0


@dataclass(frozen=True)
class JudgedHit:
    """A hit, or the whole answer to a query, and what a judge says of it; image ids are those of the manifest."""

    reference_ids: tuple[str, ...]
    modified_text: str
    image_id: str
    """The judged hit; empty: the whole query."""
    verdict: Verdict
    rank: int | None = None
    """Rank of the hit, from 0; None for a whole query."""
    shown_ids: tuple[str, ...] = ()
    """All hits that were shown, where the whole query is judged."""

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Every image that it speaks of, each once."""
        return tuple(dict.fromkeys(filter(None, (*self.reference_ids, self.image_id, *self.shown_ids))))

    @property
    def query_id(self) -> str:
        """Equal for judgements on one query."""
        return query_id(self.reference_ids, self.modified_text)


@dataclass(frozen=True)
class Judgement(JudgedHit):
    """A judged hit with its judge, its time, and the model that showed it."""

    judge: str = ""
    model: str = ""
    model_fingerprint: str = ""
    """Fingerprint of the checkpoint or blend that showed the hit."""
    index_fingerprint: str = ""
    stratum: str = ""
    """Part of the judging queue that the query is of; empty: it was not drawn by a queue."""
    stratum_queries: int = 0
    """Queries of that part of the index's queue, judged or not."""
    judgement_id: str = field(default_factory=lambda: uuid4().hex)
    given_at: str = field(default_factory=now)


def query_id(reference_ids: tuple[str, ...], modified_text: str) -> str:
    """Fingerprint of a query: its reference images in any order, and its text without extra spaces."""
    return fingerprint([sorted(reference_ids), one_line(modified_text)])


def one_line(text: str) -> str:
    """The text with single spaces."""
    return " ".join(text.split())


def same_purpose(image_ids: Sequence[str], purposes: Mapping[str, Purpose]) -> Purpose | None:
    """The purpose that images share; None where they have several."""
    shared = {purposes[image_id] for image_id in image_ids}
    return shared.pop() if len(shared) == 1 else None
