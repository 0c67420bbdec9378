"""The result in words that need no training in retrieval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spn4cir_core.evaluation.tables import ALL
from spn4cir_core.training.roles import ROLES, STAGE2, ModelRole, served_among

Row = Mapping[str, Any]
SIGNIFICANT = 0.05
"""A difference is called more than chance below this p."""
FEW_QUERIES = 20
"""With fewer queries, whatever recall they give is chance."""


def headline(sets: Sequence[Row]) -> dict[str, Any]:
    """Title and sentences on the first query set that measures composition, else on the first with queries."""
    answered = [query_set for query_set in sets if query_set["queries"]]
    if not answered:
        return {
            "query_set": None,
            "title": "Nothing was measured: the corpus has no queries",
            "sentences": [
                "No evaluator found a query over the evaluation split. Add queries.csv to the corpus, label its "
                "images, or hold more of them out (splits.evaluation_share)."
            ],
            "caution": "",
        }
    query_set = next((query_set for query_set in answered if query_set["headline"]), answered[0])
    ks = query_set["ks"]
    best, wide = ks[0], ks[min(1, len(ks) - 1)]
    served = served_among(row["model"] for row in query_set["recall"])
    recall = _find(query_set["recall"], k=best, model=served.name, query="composed")
    first = "The very first picture is right" if best == 1 else f"A right picture is among the first {best}"
    title = f"{first} for {_percent(recall['recall'])} of the change requests"
    return {
        "query_set": query_set["name"],
        "k": best,
        "recall": recall["recall"],
        "low": recall["low"],
        "high": recall["high"],
        "title": title if query_set["queries"] >= FEW_QUERIES else _too_few(query_set["queries"]),
        "sentences": [
            _precision(query_set, served, recall, wide),
            _against_shortcuts(query_set, served, best),
            *([_gain(query_set, best, served, STAGE2)] if served != STAGE2 else []),
            *(_gain(query_set, best, STAGE2, ROLES[name]) for name in STAGE2.compared_with),
        ],
        "caution": " ".join(_cautions(query_set)),
    }


def _cautions(query_set: Row) -> Iterator[str]:
    if query_set["queries"] < FEW_QUERIES:
        yield f"{_too_few(query_set['queries'])}. No figure of this set is more than chance."
    if not query_set["headline"]:
        yield "These queries were generated; text alone answers many of them. They do not measure composition."


def _too_few(queries: int) -> str:
    says = "One query says" if queries == 1 else f"{queries} queries say"
    return f"{says} nothing: write at least {FEW_QUERIES}, better a hundred"


def _precision(query_set: Row, served: ModelRole, recall: Row, wide: int) -> str:
    wider = _find(query_set["recall"], k=wide, model=served.name, query="composed")
    also = f" Among the first {wide}, a right one is found for {_range(wider)}." if wide != recall["k"] else ""
    return (
        f"{served.title} (picture + text), {query_set['queries']:,} queries of “{query_set['name']}” over "
        f"{query_set['gallery']:,} pictures never trained on: recall@{recall['k']} is {_range(recall)}.{also}"
    )


def _against_shortcuts(query_set: Row, served: ModelRole, k: int) -> str:
    parts = [
        f"{name} {_percent(_find(query_set['recall'], k=k, model=served.name, query=mode)['recall'])}"
        for mode, name in (("image", "the picture alone"), ("text", "the text alone"), ("sum", "their plain sum"))
    ]
    rows = [_find_difference(query_set, k, served.name, served.name, mode) for mode in ("image", "text", "sum")]
    beaten = [_beyond_chance(row, query_set) and row["low"] > 0 for row in rows]
    verdict = (
        "Picture and text together beat all three beyond chance."
        if all(beaten)
        else "Picture and text together do not beat all three beyond chance."
    )
    return f"With {parts[0]}, {parts[1]}, {parts[2]}. {verdict}"


def _gain(query_set: Row, k: int, role: ModelRole, other: ModelRole) -> str:
    row = _find_difference(query_set, k, role.name, other.name, "composed")
    points = [100 * row[key] for key in ("difference", "low", "high")]
    if not any(points):
        return f"{role.subject} makes no difference to any rank, compared with {other.baseline}."
    more = f"{abs(points[0]):.1f} points {'lower' if points[0] < 0 else 'higher'} than {other.baseline}"
    span = f"95 % interval {_signed(points[1])} to {_signed(points[2])}"
    if _beyond_chance(row, query_set) and row["low"] > 0:
        verdict = "a gain beyond chance"
    elif _beyond_chance(row, query_set) and row["high"] < 0:
        verdict = "a loss beyond chance"
    else:
        verdict = "no difference that so many queries can show"
    return f"{role.subject} ends {more} ({span}): {verdict}."


def _beyond_chance(difference: Row, query_set: Row) -> bool:
    """By the randomisation test too: of few reference images an interval is too narrow; of few queries nothing is."""
    return bool(difference["p"] < SIGNIFICANT and query_set["queries"] >= FEW_QUERIES)


def _find(rows: Sequence[Row], **wanted: Any) -> Row:
    values = {"kind": ALL, **wanted}
    return next(row for row in rows if all(row[key] == value for key, value in values.items()))


def _find_difference(query_set: Row, k: int, model: str, minus_model: str, minus_query: str) -> Row:
    return _find(query_set["differences"], k=k, model=model, minus_model=minus_model, minus_query=minus_query)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _range(row: Row) -> str:
    return f"{100 * row['recall']:.1f} % (95 % interval {100 * row['low']:.1f} to {100 * row['high']:.1f})"


def _signed(points: float) -> str:
    return f"{points:+.1f}".replace("-", "−")
