"""Judgements as annotation files, which the annotations stage reads, and as one table for another store."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from spn4cir_core.annotations.annotation_files import Parser
from spn4cir_core.errors import InputError
from spn4cir_core.judgements.agreement import JudgedQuery, judged_queries
from spn4cir_core.judgements.judgement import Judgement, Purpose
from spn4cir_core.judgements.judgement_files import log_csv, queries_csv, read_log, triplets_csv
from spn4cir_core.judgements.judgement_log import JudgementLog
from spn4cir_core.store.artifacts import Store

EVIL = 'a, "b"\n<script>'
PURPOSES: dict[str, Purpose] = {
    **dict.fromkeys(("a.png", "b.png", "c, d.png"), "train"),
    **dict.fromkeys(("e.png", "f.png", "g.png", "h|i.png"), "evaluation"),
}
JUDGEMENTS = [
    Judgement(("a.png",), EVIL, "b.png", "right", 0, (), "Ann", "blend", "b1", "i1"),
    Judgement(("a.png",), EVIL, "c, d.png", "wrong", 1, (), "Ann", "blend", "b1", "i1"),
    Judgement(("e.png", "f.png"), "both", "g.png", "right", 2, (), EVIL, "stage2", "s1", "i1"),
    Judgement(("e.png",), "nothing", "", "none", None, ("f.png", "g.png"), "Bob", "blend", "b1", "i1"),
    Judgement(("f.png",), "a name", "h|i.png", "right", 2, (), "Bob", "stage2", "s1", "i1"),
]


@pytest.fixture
def queries() -> list[JudgedQuery]:
    return judged_queries(JUDGEMENTS, PURPOSES)


def parser(corpus: str) -> Parser:
    return Parser(corpus, "", {name: name for name in PURPOSES}, {})


def test_queries_for_evaluation_are_read_by_the_annotations_stage(queries: list[JudgedQuery]) -> None:
    data, drops = queries_csv(queries)
    reading = parser("judged")
    (query,) = reading.queries(data)
    assert (query.reference_id, query.more_reference_ids, query.target_ids) == ("e.png", ["f.png"], ["g.png"])
    assert query.modified_text == "both" and not reading.drops
    assert drops == {"no hit is right": 1, "a file name holds '|'": 1}


def test_triplets_for_training_are_read_by_the_annotations_stage(queries: list[JudgedQuery]) -> None:
    data, drops = triplets_csv(queries, ["train", "validation"])
    reading = parser("judged")
    (triplet,) = reading.triplets(data)
    assert (triplet.reference_id, triplet.target_id, triplet.modified_text) == ("a.png", "b.png", 'a, "b" <script>')
    assert triplet.soft_targets == {"c, d.png": -1.0} and not reading.drops and not drops
    assert triplets_csv(queries, ["validation"])[0].count(b"\n") == 1


def test_the_two_never_share_an_image(queries: list[JudgedQuery]) -> None:
    trained = parser("judged").triplets(triplets_csv(queries, ["train", "validation"])[0])
    queries_again = parser("judged").queries(queries_csv(queries)[0])
    training = {name for each in trained for name in (each.reference_id, each.target_id, *each.soft_targets)}
    evaluation = {name for each in queries_again for name in (each.reference_id, *each.target_ids, *each.negative_ids)}
    assert training and evaluation and not training & evaluation


def test_the_table_of_all_is_read_into_another_store(tmp_path: Path) -> None:
    data = log_csv(JUDGEMENTS, PURPOSES)
    judgements, purposes = read_log("judgements.csv", data)
    assert judgements == JUDGEMENTS and purposes == PURPOSES
    log = JudgementLog(Store(tmp_path), "toys")
    assert (log.add(judgements, purposes), log.add(judgements, purposes)) == (5, 0)
    assert log_csv(log.judgements(), log.purposes()) == data


def test_faults_of_the_table_are_named() -> None:
    lines = log_csv(JUDGEMENTS[2:3], PURPOSES).decode()
    for wrong, says in (
        (lines.replace("verdict", "opinion"), "no column 'verdict'"),
        (lines.replace(",right,", ",maybe,"), "verdict 'maybe'"),
        (lines.replace("evaluation", "test"), "purpose 'test'"),
        (lines.replace(",2,", ",second,"), "second"),
        (lines.replace('"[""e.png"", ""f.png""]"', "[]"), "no reference image"),
        (lines.replace('"[""e.png"", ""f.png""]"', "[1]"), "image ids"),
        (lines.replace('""g.png"": ""evaluation""', '""z"": ""train""'), "g.png"),
    ):
        with pytest.raises(InputError, match=says):
            read_log("judgements.csv", wrong.encode())
    with pytest.raises(InputError, match="not a judgement"):
        read_log("judgements.csv", lines.encode("utf-16"))


def test_weights_are_a_column_where_a_queue_drew_some_queries_more_often(queries: list[JudgedQuery]) -> None:
    assert b"weight" not in queries_csv(queries)[0]
    weighted = [replace(query, weight=0.5 if number % 2 else 1.75) for number, query in enumerate(queries)]
    data, _ = queries_csv(weighted)
    read = parser("judged").queries(data)
    weight_of = {f"judged/{query.query_id}": query.weight for query in weighted}
    assert read and [query.weight for query in read] == [weight_of[query.query_id] for query in read]
    assert all(query.weight == 1 for query in parser("judged").queries(queries_csv(queries)[0]))


def test_a_table_from_before_there_were_strata_is_read() -> None:
    rows = list(csv.reader(io.StringIO(log_csv(JUDGEMENTS, PURPOSES).decode())))
    columns = [number for number, name in enumerate(rows[0]) if not name.startswith("stratum")]
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([[row[number] for number in columns] for row in rows])
    assert read_log("judgements.csv", stream.getvalue().encode()) == (JUDGEMENTS, PURPOSES)


@pytest.mark.parametrize("column", ["rank", "stratum_queries"])
@pytest.mark.parametrize("value", ["-5", "many", "nan", "1.5", "99999999999999999999"])
def test_counts_of_the_table_are_counts(column: str, value: str) -> None:
    rows = list(csv.DictReader(io.StringIO(log_csv(JUDGEMENTS[:1], PURPOSES).decode(), newline="")))
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerow(rows[0] | {column: value})
    with pytest.raises(InputError, match=f"row 1 is not a judgement: {column} '{value}' is no whole number from 0"):
        read_log("judgements.csv", stream.getvalue().encode())
