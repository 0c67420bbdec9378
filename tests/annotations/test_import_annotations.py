from __future__ import annotations

import csv
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spn4cir_core.annotations.annotation_files import Parser, Query, Triplet
from spn4cir_core.annotations.import_annotations import Layout, import_annotations, read_records
from spn4cir_core.annotations.import_fashioniq import captions_of, joinings
from spn4cir_core.errors import InputError

FASHIONIQ = [
    {"candidate": "r1", "target": "t1", "captions": ["Is red.", " and longer, "]},
    {"candidate": "r2", "target": "t2", "captions": ["", "has no sleeves"]},
    {"candidate": "r3", "captions": ["hidden", "target"]},
    {"candidate": "r4", "target": "t4", "captions": [".", "?"]},
    {"candidate": "r5", "target": "t5", "captions": ["one", "two"], "caption1": "a", "caption2": "b"},
]


def written(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def parsed(path: Path) -> tuple[list[Triplet], list[Query], Parser]:
    """What the annotations stage reads from the file when all its images are there."""
    rows = rows_of(path)
    names = {row["reference"] for row in rows}
    names |= {name for row in rows for name in (row.get("target") or row.get("targets", "")).split("|")}
    names |= {name for row in rows for name in json.loads(row.get("soft_targets") or "{}")}
    parser = Parser("shop", "", {name: name for name in names}, {})
    if path.name == "triplets.csv":
        return parser.triplets(path.read_bytes()), [], parser
    return [], parser.queries(path.read_bytes()), parser


def test_fashioniq_keeps_the_four_joinings_and_the_source(tmp_path: Path) -> None:
    file, out = written(tmp_path / "cap.dress.train.json", FASHIONIQ), tmp_path / "corpus" / "triplets.csv"
    rows, left_out = import_annotations("fashioniq", [file], out, pattern="images/{name}.jpg")
    assert (rows, dict(left_out)) == (3, {"no target": 1, "no text": 1})
    one, two, generated = parsed(out)[0]
    assert (one.reference_id, one.target_id, one.kind) == ("images/r1.jpg", "images/t1.jpg", "dress")
    assert one.modified_text == "Is red and and longer"
    assert one.modified_texts == ["Is red and and longer", "and longer and Is red", "Is red", "and longer"]
    assert two.modified_texts == ["has no sleeves"]
    assert generated.modified_texts == ["one", "two"]
    assert [json.loads(row["source"]) for row in rows_of(out)] == [FASHIONIQ[0], FASHIONIQ[1], FASHIONIQ[4]]


def test_cirr_takes_paths_from_its_split_files(tmp_path: Path) -> None:
    row = {
        "pairid": 7,
        "reference": "dev-0",
        "target_hard": "dev-1",
        "target_soft": {"dev-1": 1.0, "dev-2": 0.5},
        "caption": "Show more, please",
        "img_set": {"id": 3, "members": ["dev-0", "dev-1"]},
    }
    file = written(tmp_path / "cap.rc2.val.json", [row, row | {"pairid": 8, "caption": ["x", "y"]}])
    table = written(tmp_path / "split.json", {"dev-0": "./dev/dev-0.png", "dev-1": "./dev/dev-1.png"})
    out = tmp_path / "queries.csv"
    assert import_annotations("cirr", [file], out, [table]) == (2, {})
    query, other = parsed(out)[1]
    assert (query.query_id, query.reference_id, query.target_ids) == ("shop/7", "dev/dev-0.png", ["dev/dev-1.png"])
    assert (query.modified_text, other.modified_text) == ("Show more, please", "x")
    assert json.loads(rows_of(out)[0]["source"]) == row
    table.write_text('{"dev-0": "dev-0.png", "dev-1": "dev-1.png", "dev-2": "dev-2.png"}')
    import_annotations("cirr", [file], tmp_path / "triplets.csv", [table])
    assert [triplet.soft_targets for triplet in parsed(tmp_path / "triplets.csv")[0]] == [{"dev-2.png": 0.5}] * 2
    with pytest.raises(InputError, match="row 0 is not"):
        import_annotations("cirr", [written(tmp_path / "soft.json", [row | {"target_soft": ["dev-2"]}])], out, [table])
    table.write_text('{"dev-0": "./dev/dev-0.png"}')
    with pytest.raises(InputError, match="'dev-1' is not in the table"):
        import_annotations("cirr", [file], out, [table])


def test_published_joinings_keep_their_and_beside_an_empty_caption() -> None:
    for captions, texts in (
        (["is red.", ""], ("is red and", "and is red", "is red")),
        (["", "is red"], ("and is red", "is red and", "is red")),
        (["is red", "long?"], ("is red and long", "long and is red", "is red", "long")),
        (["", " "], ()),
    ):
        assert joinings(captions, as_published=True) == texts
        assert captions_of(texts) == ([caption.strip(".?, ") for caption in captions] if texts else None)


def test_published_triplets_stand_as_often_as_in_the_file_and_whatever_people_thought_of_the_target(
    tmp_path: Path,
) -> None:
    row = {"reference": "a", "target_hard": "b", "caption": "more", "target_soft": {"b": -1.0}}
    file = tmp_path / "cap.rc2.train.json"
    file.write_text(json.dumps([{"pairid": 1, **row}, {"pairid": 2, **row}]))
    for as_published, rows in ((False, 0), (True, 2)):
        parser = Parser("cirr", "", {"a": "a", "b": "b"}, {}, as_published=as_published)
        triplets = parser.triplets_of(file.name, read_records("cirr", file, {}, as_published), {})
        assert [triplet.annotation_id for triplet in triplets] == ["cirr/1", "cirr/2"][:rows]


TABLE = [
    {"ref": "a.png", "target": "b.png", "modified_text": "red", "kind": "colour"},
    {"ref": "b.png", "target": "a.png", "modified_text": 'say "x", y', "kind": ""},
]


@pytest.mark.parametrize("layout", ["csv", "jsonl", "parquet"])
def test_tables_with_columns_of_other_names(layout: Layout, tmp_path: Path) -> None:
    file = tmp_path / f"rows.{layout}"
    if layout == "csv":
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(TABLE[0]))
            writer.writeheader()
            writer.writerows(TABLE)
    elif layout == "jsonl":
        file.write_text("\n".join(json.dumps(row) for row in TABLE) + "\n\n")
    else:
        pq.write_table(pa.Table.from_pylist(TABLE), file)
    out = tmp_path / "triplets.csv"
    assert import_annotations(layout, [file], out, columns={"reference": "ref"}) == (2, {})
    triplets = parsed(out)[0]
    assert [(t.reference_id, t.target_id, t.modified_text, t.kind) for t in triplets] == [
        tuple(row.values()) for row in TABLE
    ]
    assert [json.loads(row["source"]) for row in rows_of(out)] == TABLE


def test_lists_of_texts_and_of_targets(tmp_path: Path) -> None:
    line = {"reference": "a", "targets": ["b", "c"], "modified_texts": ["x", "y"], "query_id": "q"}
    file = written(tmp_path / "rows.jsonl", json.dumps(line))
    import_annotations("jsonl", [file], tmp_path / "triplets.csv")
    assert [(t.target_id, t.modified_texts) for t in parsed(tmp_path / "triplets.csv")[0]] == [
        ("b", ["x", "y"]),
        ("c", ["x", "y"]),
    ]
    import_annotations("jsonl", [file], tmp_path / "queries.csv")
    (query,) = parsed(tmp_path / "queries.csv")[1]
    assert (query.query_id, query.target_ids, query.modified_text) == ("shop/q", ["b", "c"], "x")
    import_annotations("csv", [tmp_path / "triplets.csv"], tmp_path / "again" / "triplets.csv")
    again, first = parsed(tmp_path / "again" / "triplets.csv")[0], parsed(tmp_path / "triplets.csv")[0]
    assert [replace(triplet, source="") for triplet in again] == [replace(triplet, source="") for triplet in first]


@pytest.mark.parametrize(
    ("layout", "content", "message"),
    [
        ("fashioniq", "{", "cannot be read as JSON"),
        ("fashioniq", "{}", "not a list of FashionIQ triplets but dict"),
        ("fashioniq", '[{"candidate": "a", "captions": "red"}]', "row 0 is not"),
        ("cirr", '[{"reference": "a", "caption": "x"}]', "row 0 is not"),
        ("cirr", '[{"pairid": 1, "reference": "a", "caption": 3, "target_hard": "b"}]', "row 0 is not"),
        ("jsonl", "{", "cannot be read as jsonl"),
        ("jsonl", "[1]", "line 1 is not a JSON object"),
        ("csv", "reference,target\na\n", "line 2 has more or fewer values"),
        ("csv", "ref,target,modified_text\na,b,c\n", "--column reference=NAME"),
        ("parquet", "nonsense", "cannot be read as parquet"),
        ("csv", "reference,target,modified_text\n", "nothing to import"),
        ("jsonl", '{"reference": ["a", "b"], "target": "c"}', r"row 0: 'reference' is .* of type list"),
        ("jsonl", '{"reference": "a", "target": 7}', r"row 0: 'target' is '7', of type int; it must be a text"),
        ("jsonl", '{"reference": "a", "target": ["b", "c"]}', "several targets are in 'targets'"),
        ("jsonl", '{"reference": true, "target": "b"}', "of type bool"),
        ("jsonl", '{"reference": "a", "target": "b", "modified_text": {"en": "red"}}', "of type dict"),
        ("jsonl", '{"reference": "a", "targets": ["b", 3], "modified_text": "red"}', "a text or a list of texts"),
        ("jsonl", '{"reference": "a", "target": "b", "modified_texts": "[1, 2]"}', "of type list"),
        ("lasco", '[{"qid": 1, "query-image": "a.jpg", "query-text": "x"}]', "row 0 is not"),
        ("lasco", '[{"qid": 1, "query-image": [1, 2], "query-text": "x"}]', "row 0 is not"),
        ("megapairs", '{"q_img": "a.jpg", "q_text": ["x"], "t_img": 3}', "line 1 is not"),
        ("megapairs", '{"q_img": "a.jpg", "q_text": ["x"], "t_img": "b", "hns": "c"}', "line 1 is not"),
        ("megapairs", "{", "cannot be read as JSON lines"),
    ],
)
def test_a_file_of_another_layout_is_one_clear_error(
    layout: Layout, content: str, message: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "file", content)
    with pytest.raises(InputError, match=message):
        import_annotations(layout, [file], tmp_path / "triplets.csv")
    assert not (tmp_path / "triplets.csv").exists()


def test_other_names_and_patterns_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "cap.json", FASHIONIQ)
    with pytest.raises(InputError, match=r"a corpus folder holds triplets\.csv"):
        import_annotations("fashioniq", [file], tmp_path / "mine.csv")
    with pytest.raises(InputError, match=r"has no \{name\}"):
        import_annotations("fashioniq", [file], tmp_path / "triplets.csv", pattern="images/")
    with pytest.raises(InputError, match="no field 'refernce'"):
        import_annotations("csv", [file], tmp_path / "triplets.csv", columns={"refernce": "x"})


def test_two_captions_come_back_from_their_joinings() -> None:
    drawn = random.Random(0)
    for _ in range(200):
        captions = [" ".join(drawn.choices(["red", "and", "x."], k=drawn.randint(1, 4))) for _ in range(2)]
        stripped = [caption.strip(".?, ") for caption in captions]
        if all(stripped):
            assert captions_of(joinings(captions)) == stripped
    assert captions_of(["a", "b", "c", "d"]) is None
    assert captions_of(["a"]) is None


@pytest.mark.data
def test_all_of_fashioniq_and_cirr_without_loss(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "annotations" / "fashioniq" / "captions").glob("cap.*.train.json"))
    assert import_annotations("fashioniq", files, tmp_path / "triplets.csv") == (18000, {})
    triplets, _, parser = parsed(tmp_path / "triplets.csv")
    original = [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
    distinct = {(row["candidate"], row["target"], *row["captions"]): row for row in original}
    assert [drop.reason for drop in parser.drops] == ["repeated row"] * 23
    assert len(distinct) == 18000 - 23
    assert [json.loads(row["source"]) for row in rows_of(tmp_path / "triplets.csv")] == original
    for triplet, row in zip(triplets, distinct.values(), strict=True):
        assert (triplet.reference_id, triplet.target_id) == (f"{row['candidate']}.png", f"{row['target']}.png")
        captions = [caption.strip(".?, ") for caption in row["captions"]]
        assert captions_of(triplet.modified_texts) == captions or triplet.modified_texts == list(filter(None, captions))

    folder = shared_data / "annotations" / "cirr"
    val, table = folder / "captions" / "cap.rc2.val.json", folder / "image_splits" / "split.rc2.val.json"
    assert import_annotations("cirr", [val], tmp_path / "queries.csv", [table]) == (4181, {})
    _, queries, parser = parsed(tmp_path / "queries.csv")
    original, paths = json.loads(val.read_text(encoding="utf-8")), json.loads(table.read_text(encoding="utf-8"))
    assert parser.drops == [] and len(queries) == 4181
    assert [json.loads(row["source"]) for row in rows_of(tmp_path / "queries.csv")] == original
    for query, row in zip(queries, original, strict=True):
        assert query.query_id == f"shop/{row['pairid']}" and query.modified_text == row["caption"].strip()
        assert f"./{query.reference_id}" == paths[row["reference"]]
        assert [f"./{name}" for name in query.target_ids] == [paths[row["target_hard"]]]
    import_annotations("cirr", [val], tmp_path / "triplets.csv", [table])
    triplets, _, parser = parsed(tmp_path / "triplets.csv")
    assert Counter(drop.reason for drop in parser.drops) == {
        "reference as soft target left out": 37,
        "people rejected the target": 3,
    }
    assert all(triplet.reference_id not in triplet.soft_targets for triplet in triplets)
    assert sum(bool(triplet.soft_targets) for triplet in triplets) == 644


def test_lasco_names_images_by_their_paths(tmp_path: Path) -> None:
    row = {
        "qid": 28714000,
        "query-image": [28714, "val2014/COCO_val2014_000000028714.jpg"],
        "query-text": "The person is riding the bike",
        "target-image": [277005, "val2014/COCO_val2014_000000277005.jpg"],
    }
    file = written(tmp_path / "lasco_val.json", [row, {**row, "target-image": None}])
    assert import_annotations("lasco", [file], tmp_path / "queries.csv") == (1, {"no target": 1})
    (query,) = parsed(tmp_path / "queries.csv")[1]
    assert (query.query_id, query.modified_text) == ("shop/28714000", row["query-text"])
    assert (query.reference_id, query.target_ids) == (row["query-image"][1], [row["target-image"][1]])


def test_megapairs_keeps_all_texts_and_the_hard_negatives(tmp_path: Path) -> None:
    negatives = ["0/a.jpg", "0/c.jpg", "0/b.jpg"]  # the first is the query image, as published
    row = {"q_img": "0/a.jpg", "q_text": ["make it red", "in red"], "t_img": "0/b.jpg", "hns": negatives}
    file = written(tmp_path / "pairs.jsonl", "\n".join(json.dumps(line) for line in (row, row | {"t_img": "0/d.jpg"})))
    assert import_annotations("megapairs", [file], tmp_path / "triplets.csv") == (2, {})
    first, second = parsed(tmp_path / "triplets.csv")[0]
    assert (first.reference_id, first.target_id, first.modified_texts) == ("0/a.jpg", "0/b.jpg", row["q_text"])
    assert first.soft_targets == {"0/c.jpg": -1.0} and second.soft_targets == {"0/b.jpg": -1.0, "0/c.jpg": -1.0}


def test_a_table_with_semicolons_and_missing_numbers(tmp_path: Path) -> None:
    file = written(tmp_path / "rows.csv", "reference;target;modified_text\na.png;b.png;red, with dots\n")
    assert import_annotations("csv", [file], tmp_path / "triplets.csv") == (1, {})
    assert parsed(tmp_path / "triplets.csv")[0][0].modified_text == "red, with dots"
    line = '{"reference": "a", "target": "b", "modified_text": "red", "kind": NaN, "query_id": NaN}'
    import_annotations("jsonl", [written(tmp_path / "rows.jsonl", line)], tmp_path / "queries.csv")
    assert [(query.query_id, query.kind) for query in parsed(tmp_path / "queries.csv")[1]] == [("shop/rows-0", "")]
