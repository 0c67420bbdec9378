from __future__ import annotations

import html.parser
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spn4cir_core.annotations.annotation_tables import QUERY_SCHEMA, TRIPLET_SCHEMA, TRIPLETS_FILE
from spn4cir_core.evaluation.annotated import Annotated
from spn4cir_core.evaluation.base import QuerySet
from spn4cir_core.reports.stage import EVAL_REPORT
from spn4cir_core.reranking.base import RERANKERS
from spn4cir_core.store.artifacts import Artifact, Store
from tests.measured_store import EVIL, NAME, measured_store, recipe, weigh, write, write_checkpoint
from tests.reranking.rerankers import ByColour

VOID = {"meta", "img", "br", "link", "input", "use", "path"}


class Page(html.parser.HTMLParser):
    """Reads a page: whether tags nest, what is loaded, what pictures say."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def report(root: Path, **corpus: bool) -> Artifact:
    store = measured_store(root, **corpus)
    weigh(store, stage2=1.0)
    artifact, reused = EVAL_REPORT.run(recipe(root / "pictures"), store)
    assert not reused
    return artifact


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("measured")


@pytest.fixture(scope="module")
def made(root: Path) -> Artifact:
    return report(root)


def test_tables_have_the_columns_of_the_contract(made: Artifact) -> None:
    ranks, recall = made.table("ranks.parquet"), made.table("recall.parquet")
    first = ["query_set", "query_id", "kind", "model", "query", "rank", "targets", "gallery"]
    assert ranks.schema.names[:8] == first
    assert recall.schema.names == ["query_set", "kind", "model", "query", "k", "recall", "low", "high", "queries"]
    assert set(ranks["model"].to_pylist()) == {"stage1", "control", "stage2", "blend"}
    assert set(ranks["query"].to_pylist()) >= {"composed", "image", "text", "sum", "only picture", "only stage2"}
    assert set(recall["query_set"].to_pylist()) == {"annotated", "held_out", "labels"}
    assert set(recall["kind"].to_pylist()) >= {"all", "colour", "shape", "label"}
    assert all(row["low"] <= row["recall"] <= row["high"] for row in recall.to_pylist())


def test_recall_is_the_share_of_ranks_below_k(made: Artifact) -> None:
    ranks = made.table("ranks.parquet").to_pylist()
    for row in made.table("recall.parquet").to_pylist():
        of_set = [
            other["rank"] < row["k"]
            for other in ranks
            if all(other[key] == row[key] for key in ("query_set", "model", "query"))
            and row["kind"] in ("all", other["kind"])
        ]
        assert row["recall"] == pytest.approx(sum(of_set) / len(of_set))
        assert row["queries"] == len(of_set)


def test_what_composition_adds_and_smaller_galleries_are_told(made: Artifact) -> None:
    said = json.loads(made.file("report.json").read_text(encoding="utf-8"))
    recall = {
        tuple(row[key] for key in ("query_set", "kind", "model", "query", "k")): row["recall"] for row in rows(made)
    }
    for row in made.table("composition.parquet").to_pylist():
        cell = (row["query_set"], row["kind"], row["model"])
        alone = [recall[*cell, mode, row["k"]] for mode in ("image", "text", "sum")]
        assert row["best"] == max(alone)
        assert row["gap"] == pytest.approx(recall[*cell, "composed", row["k"]] - max(alone))
    sizes = made.table("gallery_sizes.parquet").to_pylist()
    whole = max(row["gallery"] for row in sizes)
    assert {row["gallery"] for row in sizes} == {10, whole}
    for row in sizes:
        full = recall[row["query_set"], "all", row["model"], row["query"], row["k"]]
        assert row["recall"] >= full - 1e-9
        assert row["gallery"] < whole or row["recall"] == pytest.approx(full, abs=1e-9)
    assert all(0 < row["p"] <= 1 for row in said["query_sets"][0]["differences"])


def rows(made: Artifact) -> list[dict[str, Any]]:
    table_rows: list[dict[str, Any]] = made.table("recall.parquet").to_pylist()
    return table_rows


def test_page_is_one_file_that_loads_nothing(made: Artifact) -> None:
    text = made.file("report.html").read_text(encoding="utf-8")
    page = Page(text)
    loaded = [value for tag, attrs in page.tags for name, value in attrs.items() if name in ("src", "href")]
    assert loaded
    assert all(str(value).startswith(("data:image/jpeg;base64,", "#")) for value in loaded)
    assert not {"script", "link", "iframe", "form"} & {tag for tag, _ in page.tags}
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert made.file("report.html").stat().st_size < 3_000_000


def test_page_is_accessible(made: Artifact) -> None:
    page = Page(made.file("report.html").read_text(encoding="utf-8"))
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert pictures
    assert all(attrs.get("alt") for attrs in pictures)
    assert all(attrs.get("aria-label") for _, attrs in page.tags if attrs.get("role") in ("img", "region"))
    headings = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert ("html", {"lang": "en"}) in page.tags


def test_the_contents_name_sections_as_their_headings_do(made: Artifact) -> None:
    text = made.file("report.html").read_text(encoding="utf-8")
    headings = dict(re.findall(r'<section id="([\w-]+)">\s*<h2>([^<]*)', text))
    links = re.findall(r'<a href="#([\w-]+)">([^<]*)</a>', text[text.index("<nav") : text.index("</nav>")])
    assert links and [(to, name) for to, name in links if not headings[to].startswith(name)] == []


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_captions_texts_and_settings_are_escaped(made: Artifact, name: str) -> None:
    text = made.file(name).read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)<script", text)
    if name == "report.html":
        assert text.count("&lt;script&gt;") >= 2  # a caption or modified text, and the provenance


def test_numbers_of_page_markdown_and_json_agree(made: Artifact) -> None:
    said = json.loads(made.file("report.json").read_text(encoding="utf-8"))
    for name in ("report.html", "report.md"):
        assert said["headline"]["title"] in made.file(name).read_text(encoding="utf-8")
    assert said["headline"]["query_set"] == "annotated"
    assert said["headline"]["title"].startswith("18 queries say nothing")
    assert f"{100 * said['headline']['recall']:.1f} %" in said["headline"]["sentences"][0]
    assert {row["noun"] for row in said["provenance"]} >= {"images", "triplets", "stage2_checkpoint"}
    assert {row["noun"]: row["drops"] for row in said["stages"]}["images"] == {"not a picture": 2}
    assert said["false_negatives"] == {"by_reason": {"same_caption": 3}, "triplets": 3, "candidates": 3}


def test_what_gates_refused_is_counted_and_pictured(made: Artifact) -> None:
    said = json.loads(made.file("report.json").read_text(encoding="utf-8"))["gates"]
    assert said["refused"] == [{"reason": "a gate's reason", "count": 2}, {"reason": EVIL, "count": 1}]
    assert said["offered"] == made_triplets(made) + 3
    text = made.file("report.html").read_text(encoding="utf-8")
    section = text[text.index("What gates and verdicts refused") : text.index('<section id="near-duplicates"')]
    assert section.count("<img") == 6  # reference and target of each
    assert section.index("a gate&#39;s reason") < section.index("&lt;script&gt;")
    assert "| a gate's reason | 2 |" in made.file("report.md").read_text(encoding="utf-8")


def made_triplets(made: Artifact) -> int:
    said = json.loads(made.file("report.json").read_text(encoding="utf-8"))
    return sum(row["count"] for row in said["triplets"])


def test_suspicious_queries_are_counted_and_their_reason_stands_with_the_pictures(made: Artifact) -> None:
    said = json.loads(made.file("report.json").read_text(encoding="utf-8"))["query_sets"]
    counts = {row["name"]: {each["why"]: each["queries"] for each in row["suspicious"]} for row in said}
    assert any(count for by_reason in counts.values() for count in by_reason.values())
    text = made.file("report.html").read_text(encoding="utf-8")
    assert "Suspicious: look before you believe" in text and 'class="tag why"' in text


def test_the_recipe_stands_at_the_end(made: Artifact) -> None:
    said = json.loads(made.file("report.json").read_text(encoding="utf-8"))
    assert said["recipe"]["note"] == EVIL  # a setting of the captions
    assert said["recipe"]["eval_report"]["gallery_pictures"] == 6
    text = made.file("report.html").read_text(encoding="utf-8")
    assert text.index('id="negatives"') < text.index('id="recipe"') < text.index('id="provenance"')


def test_guarded_candidates_are_pictured_beside_the_query_they_answer(made: Artifact) -> None:
    text = made.file("report.html").read_text(encoding="utf-8")
    section = text[text.index('<section id="negatives"') : text.index('<section id="stages"')]
    assert section.count("not a negative<") == 3
    assert section.count("<img") == 9  # reference, target and candidate of each
    assert section.count("“") == 3


def test_near_duplicates_are_pictured(made: Artifact) -> None:
    text = made.file("report.html").read_text(encoding="utf-8")
    section = text[text.index('<section id="near-duplicates"') : text.index('<section id="negatives"')]
    assert section.count("<img") == 2 and "2 images" in section
    assert 'title="toys/19.png"' in section and 'title="toys/35.png"' in section


def test_summary_counts_drops_and_tells_the_headline(made: Artifact) -> None:
    assert made.summary["drops"]["annotated: no target is in the evaluation split"] == 1
    assert made.details["queries"]["annotated"] == 18
    assert "annotated stage2 recall@1" in made.details["recall"]
    assert made.details["headline"]["title"]


def test_same_inputs_same_bytes(made: Artifact, tmp_path: Path) -> None:
    again = report(tmp_path)
    assert again.fingerprint == made.fingerprint
    assert again.summary["files"] == made.summary["files"]


@pytest.mark.parametrize(
    ("corpus", "says"),
    [
        ({"queries": False, "generated": False, "evaluation": False}, "Nothing was measured"),
        ({"evaluation": False}, "Nothing was measured"),
        ({"queries": False}, "change requests"),
    ],
)
def test_corpora_with_few_or_no_queries_still_get_a_report(tmp_path: Path, corpus: dict[str, bool], says: str) -> None:
    made = report(tmp_path, **corpus)
    text = made.file("report.html").read_text(encoding="utf-8")
    Page(text)
    assert says in text
    assert says in made.file("report.md").read_text(encoding="utf-8")
    assert made.table("recall.parquet").schema.names[-1] == "queries"


def test_an_evaluator_that_finds_nothing_is_a_counted_drop(tmp_path: Path) -> None:
    store = measured_store(tmp_path)
    settings = recipe(tmp_path / "pictures", evaluators=[{"kind": "annotated"}, {"kind": "labels", "label": "maker"}])
    made, _ = EVAL_REPORT.run(settings, store)
    assert made.summary["drops"]["evaluator 'labels' found nothing to ask in this corpus"] == 1


class UnderOtherNames(Annotated):
    """Sets that are not named as the evaluator's kind, as those of FashionIQ and GeneCIS are."""

    plugin_kind = "under_other_names"

    def query_sets(self, *given: Any) -> list[QuerySet]:
        return [replace(made, name=f"set of {made.name}") for made in super().query_sets(*given)]


def test_an_evaluator_whose_sets_have_other_names_has_found_something(tmp_path: Path) -> None:
    store = measured_store(tmp_path)
    settings = recipe(tmp_path / "pictures", evaluators=[{"kind": f"{__name__}:UnderOtherNames"}])
    made, _ = EVAL_REPORT.run(settings, store)
    assert made.summary["rows"] and not any("nothing to ask" in reason for reason in made.summary["drops"])


def test_pictures_that_have_vanished_are_named_not_shown(tmp_path: Path) -> None:
    store = measured_store(tmp_path)
    EVAL_REPORT.run(recipe(tmp_path / "pictures"), store)
    (tmp_path / "pictures" / "toys" / "27.png").unlink()
    made, reused = EVAL_REPORT.run(recipe(tmp_path / "pictures", ks=(1, 3), evaluators=[{"kind": "annotated"}]), store)
    assert not reused
    assert "toys/27.png" not in made.file("report.md").read_text(encoding="utf-8")
    Page(made.file("report.html").read_text(encoding="utf-8"))


def test_a_copy_of_stage_1_differs_from_it_by_nothing(tmp_path: Path) -> None:
    store = measured_store(tmp_path)
    write_checkpoint(store, "stage2_checkpoint", seed=0)
    made, _ = EVAL_REPORT.run(recipe(tmp_path / "pictures"), store)
    same = [
        row
        for row in made.table("differences.parquet").to_pylist()
        if (row["model"], row["minus_model"], row["minus_query"]) == ("stage2", "stage1", "composed")
    ]
    assert same
    assert all(row["difference"] == row["low"] == row["high"] == 0 for row in same)
    assert store.current(NAME, "eval_report") == made


def test_by_default_nothing_is_searched(made: Artifact) -> None:
    assert not [name for name in made.summary["files"] if "searched" in name]
    for name in ("report.html", "report.md", "report.json"):
        assert "hrough an index" not in (text := made.file(name).read_text(encoding="utf-8"))
        assert '"searched":' not in text


@pytest.mark.parametrize(
    ("searched_by", "says"),
    [({}, "(flat)"), ({"flat_up_to": 1, "above": "hnsw", "hnsw_links": 2, "hnsw_breadth": 1}, "(HNSW of 2 links")],
)
def test_recall_through_an_index_stands_beside_the_exact_one(
    made: Artifact, root: Path, searched_by: dict[str, Any], says: str
) -> None:
    settings = recipe(root / "pictures", searched_by=searched_by, evaluators=[{"kind": "annotated"}])
    artifact, _ = EVAL_REPORT.run(settings, Store(root / "store"))
    searched = artifact.table("searched.parquet").to_pylist()
    exact = {(row["query_set"], row["model"], row["k"]): row["recall"] for row in rows(made) if _composed(row)}
    assert len(searched) == 3 * 4  # models, k
    for row in searched:
        assert row["exact_recall"] == exact[row["query_set"], row["model"], row["k"]]
        assert row["difference"] == row["recall"] - row["exact_recall"]
        assert row["difference"] == 0 or searched_by
    (said,) = json.loads(artifact.file("report.json").read_text(encoding="utf-8"))["query_sets"]
    assert said["searched"] == searched
    assert says in said["protocol"]
    Page(artifact.file("report.html").read_text(encoding="utf-8"))
    shown_row = next(row for row in searched if row["k"] == 1)
    shown = f"{100 * shown_row['recall']:.1f}", f"{100 * shown_row['difference']:+.1f}".replace("-", "−")
    for name, cell in (("report.html", '<td class="number">{} <small>{}</small></td>'), ("report.md", "| {} ({}) |")):
        text = artifact.file(name).read_text(encoding="utf-8")
        assert says in text
        assert cell.format(*shown) in text
    assert artifact.table("ranks.parquet") == _of_set(made, "annotated")


def _composed(row: dict[str, Any]) -> bool:
    return (row["kind"], row["query"]) == ("all", "composed")


def _of_set(made: Artifact, name: str) -> Any:
    import pyarrow.compute as pc

    table = made.table("ranks.parquet")
    return table.filter(pc.equal(table["query_set"], name))


def test_the_blend_of_one_trained_channel_answers_as_that_network_does(made: Artifact) -> None:
    ranks: dict[tuple[str, str], list[int]] = {}
    for row in made.table("ranks.parquet").to_pylist():
        ranks.setdefault((row["model"], row["query"]), []).append(row["rank"])
    assert ranks["blend", "composed"] == ranks["stage2", "composed"] == ranks["blend", "only stage2"]
    assert ranks["blend", "only picture"] != ranks["blend", "composed"]
    assert ("blend", "without stage2") not in ranks


def test_channels_stand_in_the_report_with_what_each_is_worth(tmp_path: Path) -> None:
    store = measured_store(tmp_path)
    weigh(store, picture=1.0, edited_caption=2.0)
    made, _ = EVAL_REPORT.run(recipe(tmp_path / "pictures"), store)
    recall = {
        (row["query"], row["k"]): row["recall"]
        for row in made.table("recall.parquet").to_pylist()
        if (row["query_set"], row["kind"], row["model"]) == ("annotated", "all", "blend")
    }
    assert recall["without picture", 1] == recall["only edited_caption", 1]
    assert recall["without edited_caption", 1] == recall["only picture", 1]
    said = json.loads(made.file("report.json").read_text(encoding="utf-8"))
    assert said["headline"]["recall"] == recall["composed", 1]
    assert said["headline"]["sentences"][0].startswith("Blend of channels (picture + text)")
    text = made.file("report.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("| frozen picture similarity |"))
    assert f" {100 * recall['only picture', 1]:.1f} |" in line and "| 1.00 (" in line
    assert "Channels of the blend" in made.file("report.html").read_text(encoding="utf-8")


def test_wordings_and_explicit_negatives_stand_in_the_report(tmp_path: Path) -> None:
    store = measured_store(tmp_path)
    annotations = store.current(NAME, "annotations")
    assert annotations is not None
    rows = annotations.table("queries.parquet").to_pylist()
    for number, row in enumerate(rows[:6]):
        row["paraphrases"] = ["paint it red, not blue", "in red"]
        row["negative_ids"] = [rows[(number + 3) % 6]["reference_id"]]
        row["more_reference_ids"] = [rows[(number + 2) % 6]["reference_id"]] if number == 4 else []
    tables = {"queries.parquet": pa.Table.from_pylist(rows, QUERY_SCHEMA)}
    tables[TRIPLETS_FILE] = TRIPLET_SCHEMA.empty_table()
    write(store, "annotations", tables, ["images"], key="annotations1")
    weigh(store, stage2=1.0)
    made, _ = EVAL_REPORT.run(recipe(tmp_path / "pictures"), store)
    written = json.loads(made.file("report.json").read_text())
    sets = {row["name"]: row for row in written["query_sets"]}
    assert sets["annotated, other words"]["queries"] == 18
    blend, trained = (
        next(row for row in sets["annotated, other words"]["wordings"] if row["model"] == model and row["k"] == 1)
        for model in ("blend", "stage2")
    )
    assert trained["queries"] == 6
    assert {key: value for key, value in blend.items() if key != "model"} == {
        key: value for key, value in trained.items() if key != "model"
    }, "the blend of one trained channel answers as it does, several references included"
    assert {row["kind"] for row in sets["annotated, other words"]["recall"]} >= {"negation"}
    assert {row["queries"] for row in sets["annotated"]["explicit_negatives"]} == {6}
    assert "2 references" in {row["kind"] for row in sets["annotated"]["recall"]}
    page = made.file("report.html").read_text(encoding="utf-8")
    Page(page)
    for title in ("Says the same thing differently", "Wrong on purpose"):
        assert page.count(title) >= 1
        assert title.lower() in made.file("report.md").read_text(encoding="utf-8")


def test_a_reranker_is_measured_beside_the_served_order(made: Artifact, tmp_path: Path) -> None:
    store = measured_store(tmp_path)
    weigh(store, stage2=1.0)
    reranker = RERANKERS.build({"kind": ByColour.plugin_kind, "top": 12})
    plain, reranking = recipe(tmp_path / "pictures"), {"rerank": reranker}
    artifact, _ = EVAL_REPORT.run(plain.model_copy(update=reranking), store)
    contents = json.loads(artifact.file("report.json").read_text(encoding="utf-8"))
    summaries = {row["name"]: row["reranking"] for row in contents["query_sets"] if row["queries"]}
    assert summaries and all(row["unanswered"] == 0 and row["seconds"] > 0 for row in summaries.values())
    for name, summary in summaries.items():
        (served,) = (
            row["recall"]
            for row in next(one for one in contents["query_sets"] if one["name"] == name)["recall"]
            if (row["model"], row["query"], row["kind"], row["k"]) == (summary["model"], "composed", "all", 1)
        )
        assert summary["measures"][0]["without"] == pytest.approx(served)
    page = artifact.file("report.html").read_text(encoding="utf-8")
    Page(page)
    assert "With the reranker" in page and "seconds a query" in artifact.file("report.md").read_text(encoding="utf-8")
    assert "With the reranker" not in made.file("report.html").read_text(encoding="utf-8")
    assert EVAL_REPORT.wanted(plain, store) != artifact.fingerprint
