"""One answer of several judges: the majority of each hit; and how far judges agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from spn4cir_core.judgements.judgement import WHOLE_QUERY, Judgement, Purpose, Verdict, one_line, same_purpose

SeveralVerdicts = Mapping[str, Mapping[str, Verdict]]
"""Image id → judge → verdict."""


@dataclass(frozen=True)
class JudgedQuery:
    """A query with what its judges agree on; image ids are sorted."""

    query_id: str
    reference_ids: tuple[str, ...]
    modified_text: str
    purpose: Purpose | None
    """None: its reference images are of several splits, so that it serves nothing."""
    right_ids: tuple[str, ...]
    wrong_ids: tuple[str, ...]
    undecided_ids: tuple[str, ...]
    """As many judges say right as say wrong, or all are unsure."""
    other_split_ids: tuple[str, ...]
    """Right or wrong hits of another split than the reference image: they are not used."""
    judges: tuple[str, ...]
    weight: float = 1.0
    """How many queries it stands for, 1 on average: the inverse of the share of its stratum of the judging queue that
    has been judged; 1 where no queue drew it."""


def judged_queries(judgements: Iterable[Judgement], purposes: Mapping[str, Purpose]) -> list[JudgedQuery]:
    """Every query with the majority's verdict on each of its hits, in the order in which they were first judged.

    Args:
        purposes: of all images that the judgements speak of.
    """
    by_query = _by_query(judgements)
    weight_of = _weights(by_query)
    queries = [_judged_query(of_query, verdicts_of(of_query), purposes) for of_query in by_query]
    return [replace(query, weight=weight_of.get(query.query_id, 1.0)) for query in queries]


def _weights(by_query: Sequence[Sequence[Judgement]]) -> dict[str, float]:
    """Query id → weight of the queries that a queue drew: queries of the stratum by judged ones of it (Horvitz and
    Thompson 1952), divided by the mean over the queue of that index."""
    drawn = [next((each for each in of_query if each.stratum), None) for of_query in by_query]
    known = [each for each in drawn if each is not None]
    judged = Counter((each.index_fingerprint, each.stratum) for each in known)
    weight_of = {
        each.query_id: max(1.0, each.stratum_queries / judged[each.index_fingerprint, each.stratum]) for each in known
    }
    of_index: defaultdict[str, list[float]] = defaultdict(list)
    for each in known:
        of_index[each.index_fingerprint].append(weight_of[each.query_id])
    return {
        each.query_id: weight_of[each.query_id] / (sum(own) / len(own))
        for each in known
        if (own := of_index[each.index_fingerprint])
    }


def verdicts_of(of_query: Sequence[Judgement]) -> dict[str, dict[str, Verdict]]:
    """The last verdict of each judge on each hit of one query; who says "none of these" calls all shown hits wrong that
    he has not judged by themselves."""
    last: dict[tuple[str, str], Judgement] = {}
    for each in of_query:
        last[each.judge, each.image_id] = each
    verdicts: defaultdict[str, dict[str, Verdict]] = defaultdict(dict)
    for (judge, image_id), each in last.items():
        if each.verdict == "none":
            for shown_id in each.shown_ids:
                verdicts[shown_id].setdefault(judge, "wrong")
        elif each.verdict != "withdrawn" and image_id != WHOLE_QUERY:
            verdicts[image_id][judge] = each.verdict
    return dict(verdicts)


def majority(verdicts: Iterable[Verdict]) -> Verdict:
    """``right`` or ``wrong``, whichever more judges say; ``unsure`` on a tie. Who is unsure does not count."""
    counts = Counter(verdicts)
    if counts["right"] == counts["wrong"]:
        return "unsure"
    return "right" if counts["right"] > counts["wrong"] else "wrong"


def fleiss_kappa(hits: Iterable[Iterable[Verdict]]) -> float | None:
    """Agreement of several judges beyond chance, 1 for full agreement; None where no hit has two judges.

    κ = (P̄ - P̄e) / (1 - P̄e) of Fleiss, "Measuring nominal scale agreement among many raters" (1971); hits may have
    different numbers of judges. Where all verdicts are equal there is no chance to agree beyond, and κ is 1.
    """
    counts = [count for verdicts in hits if (count := Counter(verdicts)).total() > 1]
    if not counts:
        return None
    together: Counter[Verdict] = sum(counts, Counter())
    by_chance = sum((count / together.total()) ** 2 for count in together.values())
    agreeing = [
        sum(count * (count - 1) for count in of_hit.values()) / (of_hit.total() * (of_hit.total() - 1))
        for of_hit in counts
    ]
    agreement = sum(agreeing) / len(agreeing)
    return 1.0 if by_chance == 1 else (agreement - by_chance) / (1 - by_chance)


def kappa_of(judgements: Iterable[Judgement]) -> float | None:
    """:func:`fleiss_kappa` over all judged hits."""
    hits = (verdicts_of(of_query).values() for of_query in _by_query(judgements))
    return fleiss_kappa(by_judge.values() for of_hits in hits for by_judge in of_hits)


def _by_query(judgements: Iterable[Judgement]) -> list[list[Judgement]]:
    by_query: defaultdict[str, list[Judgement]] = defaultdict(list)
    for each in judgements:
        by_query[each.query_id].append(each)
    return list(by_query.values())


def _judged_query(
    of_query: Sequence[Judgement], verdicts: SeveralVerdicts, purposes: Mapping[str, Purpose]
) -> JudgedQuery:
    first = of_query[0]
    purpose = same_purpose(first.reference_ids, purposes)
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for image_id, by_judge in sorted(verdicts.items()):
        verdict = majority(by_judge.values())
        ids["other" if verdict != "unsure" and purposes[image_id] != purpose else verdict].append(image_id)
    return JudgedQuery(
        first.query_id,
        first.reference_ids,
        one_line(first.modified_text),
        purpose,
        tuple(ids["right"]),
        tuple(ids["wrong"]),
        tuple(ids["unsure"]),
        tuple(ids["other"]),
        tuple(dict.fromkeys(each.judge for each in of_query)),
    )
