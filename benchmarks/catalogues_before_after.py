"""Catalogues read by an older commit and by this one, side by side: pictures, duplicates, drops, pairs, guards, recall.

    python -m benchmarks.catalogues_before_after --baseline b7ac3b4 --home DIR shapes icons=DIR clothing=DIR

``shapes`` is the corpus of the recipe ``demo``; every other one is a folder, read as ``spn4cir run --images DIR`` reads
it. Stores stay in ``--home``, so that the same command goes on where it was stopped. Trainings run with ``--trainings``
only; recall is printed where a store has a report. Ends with status 1 if a picture that the older commit read, or a
caption that it made, is missing now.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from benchmarks.against import Build
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.whole_file import read_json

READ = ("images", "templates", "annotations", "captions", "image_embeddings", "splits")
MINED = ("pairs", "modified_texts", "triplets", "false_negatives")
NONE = "–"


class Catalogue:
    """What one build made of one corpus."""

    def __init__(self, store: Path, recipe: str) -> None:
        self._store, self._recipe = Store(store), recipe

    def artifact(self, noun: str) -> Artifact:
        """The current artefact of that name."""
        artifact = self._store.current(self._recipe, noun)
        assert artifact is not None, f"{self._store} has no {noun}"
        return artifact

    def paths(self) -> set[str]:
        """All pictures that were read, exact duplicates among them."""
        images = self.artifact("images")
        tables = images.table(columns=["path"]), images.table("duplicates.parquet")
        return {path for table in tables for path in table["path"].to_pylist()}

    def captioned(self) -> set[str]:
        """Ids of the pictures with a caption."""
        captions = self.artifact("captions").table().to_pylist()
        return {row["image_id"] for row in captions if row["caption"]}

    def figures(self) -> Mapping[str, str]:
        """Each line of the table."""
        images, splits, pairs = map(self.artifact, ("images", "splits", "pairs"))
        links = splits.table("near_duplicates.parquet")
        components = Counter(splits.table()["component"].to_pylist())
        linked = {tuple(sorted((row["image_a"], row["image_b"]))) for row in links.to_pylist()}
        return {
            "files": f"{images.details['files']:,}",
            "pictures": f"{images.summary['rows']:,}",
            "exact duplicates": f"{images.details['duplicates']:,}",
            "drops of images": _counts(images.summary["drops"]),
            "captions, distinct": f"{self.artifact('captions').summary['rows']:,}, {self._distinct():,}",
            "near-duplicates": f"{len(linked):,}",
            "links by method": _counts(Counter(links["found_by"].to_pylist())),
            "components, largest": f"{len(components):,}, {max(components.values()):,}",
            "pictures by split": _counts(splits.details["images"]),
            "pairs, mode": f"{pairs.summary['rows']:,}, {pairs.summary['settings']['pairs'].get('mode', NONE)}",
            "drops of pairs and triplets": _counts(
                Counter(pairs.summary["drops"]) + Counter(self.artifact("triplets").summary["drops"])
            ),
            "triplets": f"{self.artifact('triplets').summary['rows']:,}",
            "guards": _counts(self.artifact("false_negatives").details["by_reason"]),
            "served": self._recall(),
        }

    def _distinct(self) -> int:
        return len(set(self.artifact("captions").table()["caption"].to_pylist()))

    def _recall(self) -> str:
        report = self._store.current(self._recipe, "eval_report")
        headline = read_json(report.file("report.json"))["headline"] if report else {}
        if headline.get("query_set") is None:
            return NONE
        low, high = 100 * headline["low"], 100 * headline["high"]
        return f"R@{headline['k']} {100 * headline['recall']:.1f} ({low:.1f}–{high:.1f}) of {headline['query_set']}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()) if count) or NONE


def built(build: Build, home: Path, corpus: str, folder: Path | None, stages: Iterable[str]) -> Catalogue:
    """Bring a corpus up to date in its store of this build."""
    store = home / "stores" / build.name / corpus
    source = ["--recipe", "demo"] if folder is None else ["--images", str(folder)]
    select = ["--select", ",".join(stages)] if stages else []
    print(f"{build.name}: {corpus}", file=sys.stderr, flush=True)
    build.command(corpus, ["run", *source, *select], store)
    return Catalogue(store, "demo" if folder is None else "folder")


def table(corpus: str, before: Catalogue, now: Catalogue) -> Iterator[str]:
    """Markdown lines."""
    yield f"\n| {corpus} | before | now |\n|---|---|---|"
    was, has = before.figures(), now.figures()
    for name in was:
        yield f"| {name} | {was[name]} | {has[name]} |"


def lost(before: Catalogue, now: Catalogue) -> Iterator[str]:
    """What was read or captioned before and is not now."""
    yield from (f"picture {path}" for path in sorted(before.paths() - now.paths()))
    merged = {row["image_id"] for row in now.artifact("images").table("duplicates.parquet").to_pylist()}
    yield from (f"caption of {image_id}" for image_id in sorted(before.captioned() - now.captioned() - merged))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", metavar="NAME[=DIR]", help="a folder of pictures; shapes has none")
    parser.add_argument("--baseline", required=True, help="a commit")
    parser.add_argument("--commit", default="HEAD", help="what is compared with it")
    parser.add_argument("--home", type=Path, required=True, help="clones and stores; keep it to go on")
    parser.add_argument("--trainings", action="store_true", help="all stages, to the report")
    options = parser.parse_args()
    home, missing = options.home.resolve(), list[str]()
    stages = () if options.trainings else (*READ, *MINED)
    builds = []
    for name, commit in (("before", options.baseline), ("now", options.commit)):
        shutil.rmtree(home / name, ignore_errors=True)
        home.mkdir(parents=True, exist_ok=True)
        builds.append(Build(name, commit, home, own_environment=False))
    for given in options.corpora:
        corpus, _, folder = given.partition("=")
        source = Path(folder).resolve() if folder else None
        before, now = (built(build, home, corpus, source, stages) for build in builds)
        print("\n".join(table(corpus, before, now)), flush=True)
        missing += [f"{corpus}: {what}" for what in lost(before, now)]
    print(f"\nread before and missing now: {len(missing)}")
    if missing:
        raise SystemExit("\n".join(missing[:50]))


if __name__ == "__main__":
    main()
