from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spn4cir_core.annotations.annotation_files import Parser
from spn4cir_core.errors import InputError

LISTED = {"in/a.png": "in/a.png", "in/b.png": "in/b.png", "in/copy_of_a.png": "in/a.png"}
DROPPED = {"in/bad.png": "cannot be decoded"}


def parser(folder: str = "in") -> Parser:
    return Parser("shop", folder, LISTED, DROPPED)


def test_triplets_are_read_with_ids_of_kept_images() -> None:
    reader = parser()
    one, two = reader.triplets(
        "\ufeffreference,target,modified_text,kind\n"
        'a.png,./b.png," rød, please ",colour\n'
        "b.png,copy_of_a.png,smaller,\n".encode()
    )
    assert (one.reference_id, one.target_id, one.modified_text, one.kind) == (
        "in/a.png",
        "in/b.png",
        "rød, please",
        "colour",
    )
    assert (two.target_id, two.kind, two.annotation_id) == ("in/a.png", "", "shop/3")
    assert reader.drops == []


def test_kind_is_optional_and_columns_may_stand_in_any_order() -> None:
    (one,) = parser().triplets(b"modified_text,extra,target,reference\nbluer,x,b.png,a.png\n")
    assert (one.reference_id, one.modified_text, one.kind) == ("in/a.png", "bluer", "")


def test_a_reference_is_no_answer_and_a_rejected_target_no_triplet() -> None:
    reader = parser()
    (one,) = reader.triplets(
        b"reference,target,modified_text,soft_targets\n"
        b'a.png,b.png,1,"{""copy_of_a.png"": 1.0}"\n'
        b'a.png,b.png,2,"{""b.png"": -1}"\n'
    )
    assert (one.modified_text, one.soft_targets) == ("1", {})
    assert [(drop.line, drop.reason, drop.detail) for drop in reader.drops] == [
        (2, "reference as soft target left out", "it has a score of 1"),
        (3, "people rejected the target", "'b.png' has a score of -1"),
    ]


def test_soft_targets_are_scored_images_of_the_corpus() -> None:
    reader = parser()
    one, two, three = reader.triplets(
        b"reference,target,modified_text,soft_targets\n"
        b'a.png,b.png,1,"{""b.png"": 0.5}"\n'
        b"a.png,b.png,2,\n"
        b'a.png,b.png,3,"{""gone.png"": 1}"\n'
        b'a.png,b.png,4,"[1]"\n'
        b'a.png,b.png,5,"{""a.png"": ""1""}"\n'
        b'a.png,b.png,6,"{""a.png"": NaN}"\n'
        b"a.png,b.png,7,{\n"
    )
    assert one.soft_targets == {"in/b.png": 0.5}
    assert two.soft_targets == three.soft_targets == {}
    malformed = "soft_targets is not a JSON object of numbers"
    assert [(drop.line, drop.reason) for drop in reader.drops] == [
        (4, "unknown soft target left out"),
        *((line, malformed) for line in (5, 6, 7, 8)),
    ]


def test_a_triplet_may_have_alternative_texts() -> None:
    reader = parser()
    one, two = reader.triplets(
        b"reference,target,modified_text,modified_texts\n"
        b'a.png,b.png,red and big,"[""red and big"", "" big "", ""red""]"\n'
        b"a.png,b.png,red and big,\n"
        b'a.png,b.png,x,"[""red and big"", ""big"", ""red""]"\n'
        b"a.png,b.png,x,red|big\n"
        b'a.png,b.png,x,"[""red"", """"]"\n'
        b"a.png,b.png,x,[]\n"
        b"a.png,b.png,x,7\n"
    )
    assert (one.modified_text, one.modified_texts) == ("red and big", ["red and big", "big", "red"])
    assert two.modified_texts == ["red and big"]
    malformed = "modified_texts is not a JSON list of texts"
    assert [(drop.line, drop.reason) for drop in reader.drops] == [
        (4, "repeated row"),
        *((line, malformed) for line in (5, 6, 7, 8)),
    ]


def test_every_fault_is_counted_with_its_line() -> None:
    reader = parser()
    triplets = reader.triplets(
        b"reference,target,modified_text\n"
        b"a.png,b.png,red\n"
        b"a.png,nowhere.png,red\n"
        b"bad.png,b.png,red\n"
        b"a.png,b.png,  \n"
        b"a.png,copy_of_a.png,red\n"
        b"a.png,b.png\n"
        b"a.png,b.png,red\n"
        b"../secret.png,b.png,red\n"
        b"\n"
        b"b.png,a.png,blue\n"
    )
    assert [triplet.modified_text for triplet in triplets] == ["red", "blue"]
    assert [(drop.line, drop.reason) for drop in reader.drops] == [
        (3, "unknown image"),
        (4, "unknown image"),
        (5, "empty text"),
        (6, "same reference and target"),
        (7, "malformed row"),
        (8, "repeated row"),
        (9, "unknown image"),
    ]
    assert reader.drops[1].detail == "reference 'bad.png' was dropped: cannot be decoded"
    assert {drop.file for drop in reader.drops} == {"in/triplets.csv"}


def test_queries_keep_their_known_targets() -> None:
    reader = parser()
    queries = reader.queries(
        b"query_id,reference,modified_text,targets,kind\n"
        b"q1,a.png,red, b.png | gone.png ,colour\n"
        b"q1,a.png,red,b.png,\n"
        b"q2,a.png,red,gone.png,\n"
        b"q3,a.png,red,b.png|copy_of_a.png,\n"
        b",a.png,red,b.png,\n"
        b"q4,b.png,red,a.png|copy_of_a.png,\n"
    )
    assert [(query.query_id, query.target_ids) for query in queries] == [
        ("shop/q1", ["in/b.png"]),
        ("shop/q4", ["in/a.png"]),
    ]
    assert [(drop.line, drop.reason) for drop in reader.drops] == [
        (2, "unknown target left out"),
        (3, "repeated query_id"),
        (4, "unknown target left out"),
        (4, "no known target"),
        (5, "same reference and target"),
        (6, "empty query_id"),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "in/triplets.csv is empty"),
        (b"reference,target\na.png,b.png\n", "no column 'modified_text'"),
        (b"reference,target,modified_text\na.png,b.png,\xff\n", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_one_clear_error(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parser().triplets(data)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_are_rows_drops_or_an_input_error(tail: bytes, with_header: bool) -> None:
    reader = parser()
    header = b"reference,target,modified_text\n" if with_header else b""
    try:
        triplets = reader.triplets(header + tail)
    except InputError:
        return
    lines = (header + tail).decode("utf-8-sig").count("\n") + (header + tail).count(b"\r") + 1
    assert len(triplets) + len(reader.drops) <= lines


CELLS = st.sampled_from(["a.png", "b.png", "copy_of_a.png", "bad.png", "zz", "", "red", 'say "x", y', "two\nlines"])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=8))
def test_every_row_is_kept_or_dropped(rows: list[list[str]]) -> None:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([["reference", "target", "modified_text"], *rows])
    reader = parser()
    triplets = reader.triplets(stream.getvalue().encode())
    assert len(triplets) + len(reader.drops) == len(rows)
    for triplet in triplets:
        assert {triplet.reference_id, triplet.target_id} == {"in/a.png", "in/b.png"} and triplet.modified_text


def test_a_query_may_have_several_references_negatives_and_paraphrases() -> None:
    listed = {f"in/{name}": f"in/{name}" for name in ("a.png", "b.png", "c.png", "d.png", "x|y.png")}
    reader = Parser("shop", "in", listed, {})
    one, two, three = reader.queries(
        b"query_id,reference,modified_text,targets,negatives,paraphrases\n"
        b"1,a.png | b.png|a.png,red,c.png,d.png|gone.png,make it red| red |in red|in red\n"
        b'2,x|y.png,red,c.png,,"[""red, please"", ""a | b""]"\n'
        b"3,a.png,red,c.png,,\n"
    )
    assert (one.reference_id, one.more_reference_ids, one.negative_ids) == ("in/a.png", ["in/b.png"], ["in/d.png"])
    assert one.paraphrases == ["make it red", "in red"]
    assert (two.reference_id, two.more_reference_ids) == ("in/x|y.png", [])
    assert two.paraphrases == ["red, please", "a | b"]
    assert (three.more_reference_ids, three.negative_ids, three.paraphrases) == ([], [], [])
    assert [(drop.line, drop.reason) for drop in reader.drops] == [(2, "unknown negative left out")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,a.png|gone.png,red,b.png,,", "unknown image"),
        (b"1,a.png|,red,b.png,,", "unknown image"),
        (b"1,a.png|b.png,red,b.png,,", "same reference and target"),
        (b"1,a.png,red,b.png,b.png,", "same target and negative"),
        (b"1,a.png,red,b.png,,[1]", "paraphrases is not a JSON list of texts"),
    ],
)
def test_queries_with_faults_in_their_lists_are_counted(row: bytes, reason: str) -> None:
    reader = parser()
    assert reader.queries(b"query_id,reference,modified_text,targets,negatives,paraphrases\n" + row) == []
    assert [drop.reason for drop in reader.drops] == [reason]


def test_a_weight_is_a_number_above_0() -> None:
    lines = ["query_id,reference,modified_text,targets,weight"]
    lines += [f"{weight or 'none'},a.jpg,red,b.jpg,{weight}" for weight in ("2.5", "", "0", "-1", "nan", "much", "1e9")]
    reader = Parser("shop", "", {name: name for name in ("a.jpg", "b.jpg")}, {})
    assert [query.weight for query in reader.queries("\n".join(lines).encode())] == [2.5, 1.0]
    assert [drop.reason for drop in reader.drops] == ["weight is no number above 0"] * 5
