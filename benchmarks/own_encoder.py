"""An encoder trained from scratch on a folder's own texts, through the report: frozen, trained on, two references,
reranked, in other words, explicit negatives. Prints Markdown.

Needs a folder of photographs with ``metadata.csv`` that has a column of labels, and one of sources (contributors) that
stay in one split. Texts are "colour label" by the tagger; queries change either, their answers are all pictures with
both. A broken run goes on where it ended:

    PYTHONPATH=. python -m benchmarks.own_encoder clothing/ --label label --groups contributor_id --store own/ --seeds 0

Titles of evaluation pictures are written nowhere: neither the encoder nor the blend reads them.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.train_small_clip import train as small_clip
from spn4cir_core.ablation.grid import needed_stages
from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.engine.progress import silent
from spn4cir_core.evaluation.annotated import WORDINGS
from spn4cir_core.evaluation.base import Query
from spn4cir_core.evaluation.labels import Labels
from spn4cir_core.images.files import image_files
from spn4cir_core.images.manifest import read_manifest
from spn4cir_core.launch.run_flow import run
from spn4cir_core.recipe import Recipe, load_recipe, merge
from spn4cir_core.splits.split_tables import split_of_images
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.whole_file import read_json

JUDGE = "examples.train_small_clip.reranker:EditedTitle"
ONE = "one reference"
TWO = "2 references"
KS = (1, 10)
ROWS = (
    ("frozen, picture alone", "blend", "only picture"),
    ("frozen, picture + text (`frozen_composed`)", "blend", "only frozen_composed"),
    ("heads trained in stage 1", "stage1", "composed"),
    ("control", "control", "composed"),
    ("stage 2", "stage2", "composed"),
    ("served: the blend", "blend", "composed"),
)


def titled_corpus(folder: Path, label: str, groups: str, per_kind: int, store: Store, out: Path) -> Path:
    """A copy of the photographs with titles, splits and queries in its tables."""
    if out.is_dir():
        return out
    tables = {
        "name": "titles",
        "images": {"reader": {"kind": "folder", "folder": str(folder.absolute()), "group_column": groups}},
        "splits": {"groups_are": "sources"},
        "captions": {"captioner": {"kind": "tags", "label_attribute": label}},
    }
    recipe = load_recipe("folder", tables)
    made = run(recipe, store, ["images", "annotations", "captions", "image_embeddings", "splits"], silent)
    captions, split_of = read_captions(made["captions"]), split_of_images(made["splits"])
    manifest = read_manifest(made["images"], "image_id", "path")
    path_of = dict(zip(manifest["image_id"].to_pylist(), manifest["path"].to_pylist(), strict=True))
    [query_set] = Labels(label=label, max_queries=per_kind).query_sets(made, image_files(recipe.images, store), 0)
    scratch = out.with_suffix(".part")
    shutil.rmtree(scratch, ignore_errors=True)
    for path in path_of.values():
        (scratch / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, scratch / path)
    rows = [
        {
            "file": path,
            "title": "" if split_of[image_id] == "evaluation" else captions.get(image_id, ""),
            "keep_in": split_of[image_id],
        }
        for image_id, path in path_of.items()
        if image_id in split_of
    ]
    _write(scratch / "metadata.csv", rows)
    _write(scratch / "queries.csv", query_rows(query_set.queries, path_of))
    scratch.rename(out)
    return out


def query_rows(queries: Sequence[Query], path_of: Mapping[str, str]) -> list[dict[str, str]]:
    """``queries.csv``: each query with its reference image, and with another one of equal label and colour beside it.

    Explicit negatives are the answers to other texts on the same reference image.
    """
    alike: dict[str, Sequence[str]] = {image_id: query.target_ids for query in queries for image_id in query.target_ids}
    answers: defaultdict[str, set[str]] = defaultdict(set)
    for query in queries:
        answers[query.reference_id] |= set(query.target_ids)
    rows = []
    for number, query in enumerate(queries):
        wrong = sorted(answers[query.reference_id] - set(query.target_ids) - {query.reference_id})
        others = [image_id for image_id in alike.get(query.reference_id, ()) if image_id != query.reference_id]
        row = {
            "modified_text": query.modified_text,
            "targets": "|".join(path_of[image_id] for image_id in query.target_ids),
            "negatives": "|".join(path_of[image_id] for image_id in wrong),
            "paraphrases": "|".join(in_other_words(query)),
        }
        one = path_of[query.reference_id]
        rows.append({"query_id": f"{number}", "reference": one, **row, "kind": ONE})
        if others:
            two = f"{one}|{path_of[others[0]]}"
            rows.append({"query_id": f"{number} two", "reference": two, **row, "kind": ""})
    return rows


def in_other_words(query: Query) -> list[str]:
    """What the evaluator's one sentence for a kind of query could also have been."""
    new = query.modified_text.rpartition("but ")[2]
    label = [f"{new} of the same colour", f"{new} instead", f"make it {new}"]
    return label if query.kind == "label" else [f"in {new}", f"the same in {new}", f"make it {new}"]


def _write(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def recipes(corpus: Path, encoder: Path, seed: int, top: int) -> tuple[Recipe, Recipe]:
    """The recipe of the report in other words, and the same networks reranked."""
    image_encoder = {"kind": "sentence_transformers", "model": str(encoder.absolute())}
    tables: dict[str, Any] = {
        "name": f"own_encoder_{seed}",
        "seed": seed,
        "images": {"reader": {"kind": "folder", "folder": str(corpus.absolute()), "split_column": "keep_in"}},
        "captions": {"captioner": {"kind": "sidecar", "source": "attributes", "template": "{title}"}},
        "image_embeddings": {"encoder": image_encoder},
        "splits": {"near_duplicates_by": ["phash"], "hold_out": "images"},
        "stage1_checkpoint": {
            "backbone": {"kind": "frozen", "encoder": image_encoder, "hidden": 256, "composer": {"kind": "combiner"}}
        },
        "blend": {"channels": ["picture", "edited_caption", "text_to_picture", "frozen_composed"]},
        "eval_report": {"evaluators": [{"kind": "annotated"}], "ks": [*KS]},
    }
    reranker = {"kind": JUDGE, "titles": str(corpus / "metadata.csv"), "encoder": image_encoder, "top": top}
    reranked = {
        "name": f"own_encoder_reranked_{seed}",
        "rerank": reranker,
        "eval_report": {"gallery_pictures": 0},
    }
    return load_recipe("folder", tables), load_recipe("folder", merge(tables, reranked))


def table(report: Artifact, reranked: Artifact, seed: int) -> str:
    """What the reports say, per cent with 95 % intervals."""
    sets = {one["name"]: one for one in read_json(report.file("report.json"))["query_sets"]}
    annotated = sets["annotated"]
    lines = [
        f"Seed {seed}: {annotated['queries']} queries, gallery {annotated['gallery']}.",
        "",
        "| what | references | R@1 | R@10 |",
        "|---|---|---|---|",
    ]
    for title, model, query in ROWS:
        for kind in (ONE, TWO):
            cells = [
                _interval(row, "recall")
                for k in KS
                for row in annotated["recall"]
                if (row["model"], row["query"], row["kind"], row["k"]) == (model, query, kind, k)
            ]
            if cells:
                lines.append(f"| {title} | {kind} | {' | '.join(cells)} |")
    lines += ["", "| measure | model | value |", "|---|---|---|"]
    for row in sets.get(WORDINGS, {}).get("wordings", []):
        if row["k"] == 1:
            for name in ("mean", "spread", "first_hit_changes"):
                lines.append(
                    f"| {row['queries']} queries in other words: {name} | {row['model']} | {_own(row, name)} |"
                )
    for row in annotated.get("explicit_negatives", []):
        for name in ("queries_with_one", "negatives_retrieved", "share_of_hits"):
            lines.append(
                f"| {row['queries']} queries with explicit negatives: {name} | {row['model']} | {_own(row, name)} |"
            )
    for one in read_json(reranked.file("report.json"))["query_sets"]:
        for row in one.get("reranking", {}).get("measures", []):
            change = f"{100 * row['difference']:+.1f} ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
            values = f"{100 * row['without']:.1f} → {100 * row['with']:.1f}, {change}"
            lines.append(f"| reranked: {row['name']} | {one['reranking']['model']} | {values} |")
    return "\n".join(lines).replace("-", "−")


def _interval(row: Mapping[str, Any], name: str) -> str:
    return f"{100 * row[name]:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def _own(row: Mapping[str, Any], name: str) -> str:
    return f"{100 * row[name]:.1f} % ({100 * row[f'{name}_low']:.1f} to {100 * row[f'{name}_high']:.1f})"


def main() -> None:
    """Make the corpus and the encoder, run both recipes of each seed, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--label", default="label", help="Metadata column of labels.")
    parser.add_argument("--groups", default="", help="Metadata column of sources.")
    parser.add_argument("--store", type=Path, default=Path("own"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--queries", type=int, default=150, help="Most queries of each kind.")
    parser.add_argument("--steps", type=int, default=900, help="Of the encoder's training, 64 pictures each.")
    parser.add_argument("--image-px", type=int, default=64, help="Side of the encoder's pictures.")
    parser.add_argument("--top", type=int, default=20, help="First hits that are reranked.")
    given = parser.parse_args()
    store = Store(given.store)
    corpus = titled_corpus(given.pictures, given.label, given.groups, given.queries, store, given.store / "corpus")
    encoder = given.store / "encoder"
    if not encoder.is_dir():
        sizes = ["--steps", str(given.steps), "--batch-size", "64", "--image-px", str(given.image_px)]
        small_clip.main([str(corpus), "--out", str(encoder), *sizes])
    for seed in given.seeds:
        in_words, again = recipes(corpus, encoder, seed, given.top)
        report, reranked = (run(one, store, needed_stages(), silent)["eval_report"] for one in (in_words, again))
        print(table(report, reranked, seed), flush=True)


if __name__ == "__main__":
    main()
