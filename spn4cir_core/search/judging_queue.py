"""Which queries are worth judging: held-out edits and what people typed, more often where the models disagree."""

from __future__ import annotations

import logging
import random
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import pyarrow.compute as pc

from spn4cir_core.judgements.agreement import JudgedQuery, judged_queries
from spn4cir_core.judgements.judgement import EVALUATION, WHOLE_QUERY, Purpose, Stratum, one_line, query_id
from spn4cir_core.judgements.stratified import Share, Tally, stratified_order, stratified_share
from spn4cir_core.search.judging import Judging
from spn4cir_core.search.models import INDEXED, NoSuchModel
from spn4cir_core.search.requested_search import RequestedSearch
from spn4cir_core.search.service import IndexedImage, SearchService
from spn4cir_core.training.roles import ModelName
from spn4cir_core.triplets.triplet_tables import read_triplets

log = logging.getLogger(__name__)
POOLED: Literal["pooled"] = "pooled"
"""Stands for the model where the hits of all were shown together."""
MOST_QUERIES = 200
"""Held-out edits that are searched with every model before the first one is shown."""
MOST_TYPED = 200
"""Queries that people typed and judged: the last so many."""
DEPTH = 2
"""First hits of each model that are pooled."""
SEARCHED = 200
"""Hits of a search, of which those of the evaluation split are pooled."""
SPREAD_OF_AGREEMENT, SPREAD_OF_DISAGREEMENT = 0.3, 0.5
"""Expected standard deviation of "the first hit is right": where all models agree, it mostly is, or mostly is not."""
SEARCHES_AT_ONCE = 16


@dataclass(frozen=True)
class PooledQuery:
    """A query and the first hits of each model."""

    reference_id: str
    modified_text: str
    hits: Mapping[ModelName, tuple[str, ...]]
    """At most ``DEPTH`` image ids of the evaluation split, best first."""
    is_typed: bool = False
    """Whether somebody typed it and judged a hit; else it is a held-out edit."""

    @property
    def query_id(self) -> str:
        """As of judgements on it."""
        return query_id((self.reference_id,), self.modified_text)

    @property
    def pooled_ids(self) -> tuple[str, ...]:
        """The hits of all models, each once, in an order that says nothing of the models."""
        pooled = sorted({image_id for hits in self.hits.values() for image_id in hits})
        random.Random(self.query_id).shuffle(pooled)
        return tuple(pooled)

    @property
    def first_hits(self) -> int:
        """How many different first hits the models have: 1 where all agree."""
        return len({hits[0] for hits in self.hits.values() if hits})


@dataclass(frozen=True)
class QueueItem:
    """The next query to be judged."""

    number: int
    """Of this judge, from 0."""
    reference: IndexedImage
    modified_text: str
    hits: list[IndexedImage]


class JudgingQueue:
    """The pooled queries of one index, in the order in which they are to be judged: the same for all judges."""

    def __init__(self, queries: Sequence[PooledQuery], seed: int = 0) -> None:
        self._strata = _strata(queries)
        spread_of = {
            stratum: SPREAD_OF_AGREEMENT if stratum[1] == 1 else SPREAD_OF_DISAGREEMENT for stratum in self._strata
        }
        self.queries = stratified_order(self._strata, spread_of, seed)

    def next(self, verdicts: Mapping[str, Mapping[str, str]]) -> tuple[int, PooledQuery] | None:
        """The first query with a hit that the judge has not judged, and how many come before it; None after the last.

        Args:
            verdicts: query id → image id → verdict of this judge; the empty image id is the whole query.
        """
        for number, query in enumerate(self.queries):
            own = verdicts.get(query.query_id, {})
            if WHOLE_QUERY not in own and not own.keys() >= set(query.pooled_ids):
                return number, query
        return None

    def stratum_of(self, query_id: str) -> Stratum:
        """The stratum that a query is of; without a name where it is not in the queue."""
        for (is_typed, first_hits), queries in self._strata.items():
            if any(query.query_id == query_id for query in queries):
                return Stratum(f"{'typed' if is_typed else 'edit'}, {first_hits} first hits", len(queries))
        return Stratum()

    def share_right(self, model: ModelName, judged: Iterable[JudgedQuery]) -> Share:
        """How often the model's first hit is right, over all queries of the queue (recall@1 by what was judged)."""
        by_id = {query.query_id: query for query in judged}
        return stratified_share([_tally(queries, model, by_id) for queries in self._strata.values()])


class QueueOfIndex:
    """Makes the queue of the index that is served, once, at its first use."""

    def __init__(self, judging: Judging) -> None:
        self._judging = judging
        self._queues: dict[str, JudgingQueue] = {}
        self._making = threading.Lock()

    def next(self, service: SearchService, judge: str) -> QueueItem | None:
        """The judge's next query; None where all are judged, or the corpus has no held-out edits."""
        verdicts: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for each in self._judging.log.judgements():
            if each.judge == judge:
                verdicts[each.query_id][each.image_id] = each.verdict
                if each.verdict == "withdrawn":
                    del verdicts[each.query_id][each.image_id]
        item = self.queue(service).next(verdicts)
        if item is None:
            return None
        number, query = item
        hits = [service.image(image_id) for image_id in query.pooled_ids]
        return QueueItem(number, service.image(query.reference_id), query.modified_text, hits)

    def stratum_of(self, index_fingerprint: str, query_id: str) -> Stratum:
        """As :meth:`JudgingQueue.stratum_of`; without a name where the index's queue has not been shown here."""
        queue = self._queues.get(index_fingerprint)
        return Stratum() if queue is None else queue.stratum_of(query_id)

    def share_right(self, service: SearchService, model: ModelName = INDEXED) -> Share:
        """As :meth:`JudgingQueue.share_right`, by all that has been judged."""
        judged = judged_queries(self._judging.log.judgements(), self._judging.log.purposes())
        return self.queue(service).share_right(model, judged)

    def queue(self, service: SearchService) -> JudgingQueue:
        """The queue of the service's index; whoever asks meanwhile waits."""
        with self._making:
            if service.fingerprint not in self._queues:
                self._queues = {service.fingerprint: JudgingQueue(pooled_queries(service, self._judging))}
            return self._queues[service.fingerprint]


def pooled_queries(service: SearchService, judging: Judging, most: int = MOST_QUERIES) -> list[PooledQuery]:
    """Held-out edits and typed queries with the first hits of every model that can be asked, among images that serve
    evaluation."""
    split_of = judging.splits(service.fingerprint)
    held_out = _held_out_edits(judging, service.fingerprint, split_of)
    typed = [query for query in _judged_for_evaluation(judging) if query not in held_out][-MOST_TYPED:]
    edits = random.Random(0).sample(sorted(held_out), min(most, len(held_out))) + typed
    with ThreadPoolExecutor(SEARCHES_AT_ONCE) as pool:
        hits_of = {
            model.name: list(pool.map(lambda edit, name=model.name: _hits(service, name, edit, split_of), edits))
            for model in service.models()
            if not model.missing and _opens(service, model.name)
        }
    return [
        PooledQuery(*edit, {name: hits[number] for name, hits in hits_of.items()}, edit in typed)
        for number, edit in enumerate(edits)
        if all(hits[number] for hits in hits_of.values())
    ]


def _opens(service: SearchService, model: ModelName) -> bool:
    try:
        service.search(RequestedSearch(text="a picture", query="text", top=1, model=model))
    except NoSuchModel as error:
        log.warning("judging: %s", error)
        return False
    return True


def _held_out_edits(judging: Judging, index_fingerprint: str, split_of: Mapping[str, Purpose]) -> set[tuple[str, str]]:
    """Reference image and text of generated triplets of the evaluation split."""
    triplets = judging.parent(index_fingerprint, "triplets")
    if triplets is None:
        return set()
    table = read_triplets(triplets, "reference_id", "modified_texts", "origin", "split")
    held_out = table.filter(pc.and_(pc.equal(table["split"], EVALUATION), pc.equal(table["origin"], "generated")))
    return {
        (row["reference_id"], one_line(text))
        for row in held_out.to_pylist()
        for text in row["modified_texts"][:1]
        if split_of.get(row["reference_id"]) == EVALUATION
    }


def _judged_for_evaluation(judging: Judging) -> list[tuple[str, str]]:
    """Reference image and text of the queries for evaluation that somebody has judged, in the order of the log."""
    queries = judged_queries(judging.log.judgements(), judging.log.purposes())
    return [
        (query.reference_ids[0], query.modified_text)
        for query in queries
        if query.purpose == EVALUATION and len(query.reference_ids) == 1
    ]


def _hits(
    service: SearchService, model: ModelName, edit: tuple[str, str], split_of: Mapping[str, Purpose]
) -> tuple[str, ...]:
    reference_id, text = edit
    hits = service.search(RequestedSearch([reference_id], text=text, top=SEARCHED, model=model)).hits
    return tuple(hit.image_id for hit in hits if split_of.get(hit.image_id) == EVALUATION)[:DEPTH]


def _strata(queries: Sequence[PooledQuery]) -> dict[tuple[bool, int], list[PooledQuery]]:
    """Queries by whether they were typed, and by the number of different first hits."""
    strata: defaultdict[tuple[bool, int], list[PooledQuery]] = defaultdict(list)
    for query in queries:
        strata[query.is_typed, query.first_hits].append(query)
    return dict(sorted(strata.items()))


def _tally(queries: Sequence[PooledQuery], model: ModelName, judged: Mapping[str, JudgedQuery]) -> Tally:
    decided = right = undecided = 0
    for query in queries:
        answer, first = judged.get(query.query_id), query.hits[model][0]
        if answer is not None and first in (*answer.right_ids, *answer.wrong_ids):
            decided += 1
            right += first in answer.right_ids
        elif answer is not None:
            undecided += first in (*answer.undecided_ids, *answer.other_split_ids)
    return Tally(len(queries), decided, right, undecided)
