"""Everything that reads what others wrote: each reader takes a file, and may fail with this package's errors alone."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from safetensors.numpy import save

from spn4cir_core.ablation.grid import cells, load_grid
from spn4cir_core.annotations.annotation_files import Parser
from spn4cir_core.annotations.annotation_tables import DROP_SCHEMA, QUERY_SCHEMA, TRIPLET_SCHEMA
from spn4cir_core.annotations.import_annotations import Layout, import_annotations, read_records
from spn4cir_core.backbones.published import read_published
from spn4cir_core.captions.sidecar import read_caption_file
from spn4cir_core.evaluation.submission_files import validate_submission
from spn4cir_core.images.cirr import Cirr
from spn4cir_core.images.fashioniq import FashionIq
from spn4cir_core.images.files import decode
from spn4cir_core.images.folder import Folder
from spn4cir_core.images.manifest import IMAGE_SCHEMA
from spn4cir_core.models.weight_files import read_weights
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.store.rows import Rows
from spn4cir_core.texts.prompts import load_prompt
from spn4cir_core.texts.templates import load_bank
from spn4cir_core.training.checkpoints import _read_tensors, read_checkpoint, read_lines
from spn4cir_core.triplets.verdicts import read_verdicts

CORE = Path(__file__).parents[2] / "spn4cir_core"


@dataclass(frozen=True)
class Reader:
    """``read`` gets the path of a file named ``name`` in a folder of its own."""

    name: str
    read: Callable[[Path], object]
    samples: tuple[bytes, ...]


def pictures() -> tuple[bytes, ...]:
    """One small noisy picture in each format, some with transparency, several frames, or EXIF."""
    noise = np.random.default_rng(3).integers(0, 255, (14, 11, 4), np.uint8)
    rgb, rgba = Image.fromarray(noise[..., :3]), Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (rgb, "PNG", {}),
        (rgba, "PNG", {"save_all": True, "append_images": [rgba]}),
        (Image.fromarray(noise[..., 0].astype(np.uint16) * 257), "PNG", {}),
        (rgb.quantize(17), "PNG", {"transparency": 0}),
        (rgb, "JPEG", {"exif": exif}),
        (rgb, "JPEG", {"progressive": True}),
        (rgb.convert("CMYK"), "JPEG", {}),
        (rgb, "GIF", {"save_all": True, "append_images": [rgb.rotate(90)]}),
        (rgba, "WEBP", {"lossless": True}),
        (rgb, "WEBP", {"exif": exif}),
        (rgb, "BMP", {}),
        (rgb.quantize(17), "BMP", {}),
        (rgb, "TIFF", {}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}),
        (rgb, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (Image.fromarray(noise[..., 0].astype(np.float32)), "TIFF", {}),
        (rgb, "PPM", {}),
        (rgb.convert("1"), "PPM", {}),
        (rgb, "AVIF", {}),
    ]
    return tuple(_encoded(*kind) for kind in kinds)


def _encoded(image: Image.Image, format: str, options: Mapping[str, Any]) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def parquet(**columns: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def in_corpus(path: Path) -> None:
    """A metadata file is read by the folder reader, and its rows go into the manifest's table."""
    result = list(Folder(folder=path.parent, category_column="c", split_column="s").files(path.parent))
    rows = [asdict(file) | {"image_id": file.path, "attributes": list(file.attributes.items())} for file in result]
    pa.Table.from_pylist(rows, IMAGE_SCHEMA)
    fingerprint(rows)


IDS = {f"{name}.png": f"{name}.png" for name in ("a", "b", "c")} | {"B001": "a.png"}


def annotated(layout: str) -> Callable[[Path], None]:
    """An annotation file is parsed, and what is found goes into the tables of the artefact."""

    def read(path: Path) -> None:
        parser = Parser("shop", "", IDS, {"d.png": "empty file"})
        if layout == "triplets.csv":
            triplets, queries = parser.triplets(path.read_bytes()), []
        elif layout == "queries.csv":
            triplets, queries = [], parser.queries(path.read_bytes())
        else:
            names = {name: f"{name}.png" for name in ("a", "b", "c", "1", "2", "3")}
            triplets = parser.triplets_of("x.json", read_records(layout, path, {}), names)  # type: ignore[arg-type]
            queries = parser.queries_of("x.json", read_records(layout, path, {}), names)  # type: ignore[arg-type]
        for rows, schema in ((triplets, TRIPLET_SCHEMA), (queries, QUERY_SCHEMA), (parser.drops, DROP_SCHEMA)):
            pa.Table.from_pylist([asdict(row) for row in rows], schema)  # type: ignore[attr-defined]
            fingerprint([asdict(row) for row in rows])  # type: ignore[attr-defined]

    return read


def imported(layout: Layout, target: str) -> Callable[[Path], None]:
    return lambda path: import_annotations(layout, [path], path.parent / "out" / target) and None


def split_file(reader: type[Cirr] | type[FashionIq], pattern: str) -> Callable[[Path], None]:
    """The lists of a benchmark's images, put where the publishers have them."""

    def read(path: Path) -> None:
        for split in ("train", "val"):
            file = path.parent / "data" / pattern.format(split=split)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(path.read_bytes())
        folder = path.parent / "data"
        made = Cirr(folder=folder) if reader is Cirr else FashionIq(folder=folder, categories=("dress",))
        fingerprint([asdict(file) for file in made.files(path.parent)])

    return read


def stored(path: Path) -> None:
    """A summary, and all that is asked of an artefact."""
    store = Store(path.parent / "store")
    folder = store.root / "things" / "abc"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_bytes(path.read_bytes())
    (folder / "things.parquet").write_bytes(THINGS)
    artifact = store.get("things", "abc")
    assert artifact is not None
    assert isinstance(artifact.fingerprint, str) and isinstance(artifact.details, dict)
    assert isinstance(artifact.summary["rows"], int) and isinstance(artifact.summary["drops"], dict)
    assert isinstance(artifact.summary["seconds"], dict)
    artifact.table()
    artifact.verify()


def pointed(path: Path) -> None:
    """A recipe's pointer to what is current."""
    store = Store(path.parent / "store")
    pointer = store.root / "recipes" / "demo" / "things.json"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_bytes(path.read_bytes())
    store.current("demo", "things")
    store.before("demo", "things")


def kept_rows(path: Path) -> None:
    """A part of the rows that are kept per image."""
    rows = Rows(path.parent, pa.string())
    rows.keys()
    list(rows.scan())
    for value in rows.values({"k1", "k2"}).values():
        assert value is None or isinstance(value, str)


def described(path: Path) -> None:
    """A network's description beside its weights."""
    weights = path.parent / "model.safetensors"
    weights.write_bytes(save({"w": np.ones(3, np.float32)}))
    read_checkpoint(path, weights, "the checkpoint")


def submitted(path: Path) -> None:
    annotations = path.parent / "cap.rc2.test1.json"
    annotations.write_bytes(as_json([{"pairid": 1, "reference": "a", "caption": "red"}]))
    validate_submission(path, annotations, ["a", "b"])


THINGS = parquet(id=["1", "2"])
SUMMARY_BODY = {
    "noun": "things",
    "fingerprint": "abc",
    "rows": 2,
    "drops": {},
    "seconds": {"write": 0.1},
    "details": {"x": 1},
    "parents": {},
    "files": {"things.parquet": {"bytes": len(THINGS), "sha256": "0" * 64}},
}
CSV = b"reference,target,modified_text,kind,modified_texts,soft_targets\na.png,b.png,is red,,,\n" + (
    b'b.png,c.png,"a, b","x","[""one"",""two""]","{""c.png"": 0.5}"\n'
)
QUERIES = b"query_id,reference,modified_text,targets\nq1,a.png,is red,b.png|c.png\nq2,b.png,is blue,a.png\n"
FASHIONIQ = [{"candidate": "a", "target": "b", "captions": ["is red", "is long"]}]
CIRR = [{"pairid": 1, "reference": "a", "target_hard": "b", "target_soft": {"b": 1.0, "c": 0.5}, "caption": "red"}]
CIRCO = [{"id": 0, "reference_img_id": 1, "target_img_id": 2, "gt_img_ids": [2, 3], "relative_caption": "red"}]
TABLE = b'reference,target,modified_text,modified_texts,query_id\na.png,b.png,is red,"[""x""]",q\n'
JSONL = b'{"reference": "a.png", "targets": ["b.png", "c.png"], "modified_text": "is red"}\n{"reference": "b.png"}\n'
METADATA = b"file,c,s,colour\na.png,dress,train,red\nb.png,hat,test,\n../x.png,hat,,\n"
CAPTIONS = b'file,caption\na.png,a red dress\nb.png,"[""a hat""]"\n'
RECIPE = (CORE / "recipes" / "demo.toml").read_bytes()
BANK = b'[sets]\nown = ["a"]\n[[template]]\nid = "a"\ntext = "not {reference} but {target}"\nonly = ""\n'
GRID = b"""base = "demo"
seeds = [0]
[recipe.stage1_checkpoint]
steps = 3
[axes.size.small.pairs]
per_reference = 1
"""
NETWORK = {
    "backbone": {"kind": "small", "dim": 8, "image_px": 16},
    "backbone_fingerprint": "x",
    "state": {"words": ["a"]},
    "temperature": 0.05,
}
TENSORS = save({"w": np.ones((2, 3), np.float32), "b": np.zeros(2, np.float16)}, {"step": "3"})


def torch_file() -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save({"state_dict": {"w": torch.ones(2)}, "epoch": 3}, stream)
    return stream.getvalue()


def choose(path: Path) -> None:
    bank = load_bank(str(path))
    for template in bank.choose([*bank.sets, *bank.templates]):
        template.fill(dict.fromkeys(template.placeholders(), "{x}"))


READERS: dict[str, Reader] = {
    "picture": Reader("a.png", lambda path: decode(path.read_bytes(), 10**5), pictures()),
    "metadata.csv": Reader("metadata.csv", in_corpus, (METADATA,)),
    "metadata.jsonl": Reader("metadata.jsonl", in_corpus, (b'{"file_name": "a.png", "c": "x", "n": [1]}\n',)),
    "metadata.parquet": Reader("metadata.parquet", in_corpus, (parquet(file=["a.png", "b.png"], c=["x", "y"]),)),
    "triplets.csv": Reader("triplets.csv", annotated("triplets.csv"), (CSV,)),
    "queries.csv": Reader("queries.csv", annotated("queries.csv"), (QUERIES,)),
    "fashioniq.json": Reader("cap.dress.val.json", annotated("fashioniq"), (as_json(FASHIONIQ),)),
    "cirr.json": Reader("cap.rc2.val.json", annotated("cirr"), (as_json(CIRR),)),
    "circo.json": Reader("val.json", annotated("circo"), (as_json(CIRCO),)),
    "import.csv": Reader("t.csv", imported("csv", "triplets.csv"), (TABLE,)),
    "import.jsonl": Reader("t.jsonl", imported("jsonl", "queries.csv"), (JSONL,)),
    "import.parquet": Reader(
        "t.parquet",
        imported("parquet", "triplets.csv"),
        (parquet(reference=["a"], target=["b"], modified_text=["red"], modified_texts=[["x", "y"]]),),
    ),
    "cirr splits": Reader(
        "split.json", split_file(Cirr, "image_splits/split.rc2.{split}.json"), (as_json({"a": "./dev/a.png"}),)
    ),
    "fashioniq splits": Reader(
        "split.json", split_file(FashionIq, "image_splits/split.dress.{split}.json"), (as_json(["B001", "B002"]),)
    ),
    "captions.csv": Reader("captions.csv", lambda path: list(read_caption_file(path, "file", "caption")), (CAPTIONS,)),
    "captions.json": Reader(
        "captions.json",
        lambda path: list(read_caption_file(path, "file", "caption")),
        (as_json({"a.png": "red"}), as_json([{"file": "a.png", "caption": ["red", "blue"]}])),
    ),
    "captions.parquet": Reader(
        "captions.parquet",
        lambda path: list(read_caption_file(path, "file", "caption")),
        (parquet(file=["a.png"], caption=["red"]),),
    ),
    "verdicts.csv": Reader(
        "v.csv", lambda path: read_verdicts(str(path)), (b"triplet_id,verdict,comment\nt1,keep,\nt2,reject,bad\n",)
    ),
    "submission.json": Reader("s.json", submitted, (as_json({"version": "rc2", "metric": "recall", "1": ["b", "a"]}),)),
    "recipe.toml": Reader("r.toml", load_recipe, (RECIPE, b'base = "demo"\nseed = 3\n')),
    "templates.toml": Reader("b.toml", choose, (BANK,)),
    "grid.toml": Reader("g.toml", lambda path: cells(load_grid(path)), (GRID,)),
    "prompt.txt": Reader("p.txt", lambda path: load_prompt(str(path), False), (b"From {reference} to {target}.",)),
    "summary.json": Reader(
        "summary.json",
        stored,
        (as_json({**SUMMARY_BODY, "summary_mark": fingerprint(SUMMARY_BODY)}), as_json(SUMMARY_BODY)),
    ),
    "pointer.json": Reader("pointer.json", pointed, (as_json({"fingerprint": "abc", "before": None}),)),
    "rows.parquet": Reader(
        "part-00000000000000000001-abcdef01.parquet", kept_rows, (parquet(key=["k1", "k2"], value=["x", "y"]),)
    ),
    "model.safetensors": Reader("m.safetensors", read_weights, (TENSORS,)),
    "model.pt": Reader("m.pt", read_published, (torch_file(),)),
    "state.safetensors": Reader("state.safetensors", _read_tensors, (TENSORS,)),
    "metrics.jsonl": Reader("metrics.jsonl", read_lines, (b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.4}\n',)),
    "network.json": Reader("network.json", described, (as_json(NETWORK),)),
}
