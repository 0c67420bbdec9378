"""Examination of an installation: each symptom has a finding and, where something is wrong, a cure."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from packaging.requirements import Requirement

from spn4cir_core.errors import Spn4cirError
from spn4cir_core.flow import STAGES
from spn4cir_core.images.base import FolderReader, Reader
from spn4cir_core.images.stage import counted
from spn4cir_core.operations.requirements import PACKAGE, installed, missing_packages, packages_of, settings_below
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.remote_store import RemoteStore
from spn4cir_core.store.summaries import SUMMARY

State = Literal["ok", "note", "broken"]
LOW_DISK_BYTES, EMPTY_DISK_BYTES = 20 << 30, 1 << 30
EXTRAS = {
    "ui": "the Dagster UI",
    "serve": "search in the browser and over HTTP",
    "offline": "the default captioner and encoder without a download",
    "heif": "HEIC pictures, as telephones take them",
    "jxl": "JPEG XL pictures",
    "tensorboard": "training curves in TensorBoard",
    "gpu": "FAISS on the GPU",
    "s3": "the store on S3",
    "sentence": "embedding models of sentence-transformers",
    "lora": "adapters inside embedding models",
    "lancedb": "vector tables in LanceDB",
    "pgvector": "vector tables in PostgreSQL",
    "onnx": "exported networks as ONNX files",
    "quantized": "captioners and rewriters in 4 or 8 bits",
}
"""What each optional extra brings."""
ALTERNATIVES = {"faiss-cpu": "faiss-gpu-cu12"}
"""Requirements that another package fulfils as well."""


@dataclass(frozen=True)
class Symptom:
    """One thing that was looked at: ``broken`` stops runs, a ``note`` is worth knowing."""

    what: str
    state: State
    finding: str
    cure: str = ""


def examine(store: Store, recipe: Recipe) -> Iterator[Symptom]:
    """Look at everything: the packages, the accelerator, what the recipe needs, the store, and Dagster's home."""
    yield Symptom(PACKAGE, "ok", f"{metadata.version(PACKAGE)} at {Path(__file__).parents[1]}")
    yield _python()
    yield from packages()
    yield gpu()
    yield faiss_build()
    yield from extras(recipe)
    yield from models(recipe)
    yield from pictures(recipe, store)
    yield from disk(store)
    yield from server(store)
    yield from artifacts(store, recipe.name)
    yield from dagster_home(os.environ.get("DAGSTER_HOME", ""))


def _python() -> Symptom:
    wanted = metadata.metadata(PACKAGE)["Requires-Python"]
    fits = Requirement(f"python{wanted}").specifier.contains(platform.python_version())
    finding = f"{platform.python_version()} at {sys.executable}"
    return Symptom("python", "ok" if fits else "broken", finding, "" if fits else f"use Python {wanted}")


def packages() -> Iterator[Symptom]:
    """Every declared requirement against what is installed."""
    for line in metadata.requires(PACKAGE) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _package(requirement)


def _package(requirement: Requirement) -> Symptom:
    name = requirement.name
    version = installed(name) or installed(ALTERNATIVES.get(name, name))
    cure = f"pip install '{requirement.name}{requirement.specifier}'"
    if version is None:
        return Symptom(name, "broken", "not installed", cure)
    if not requirement.specifier.contains(version, prereleases=True):
        return Symptom(name, "broken", f"{version}, wanted {requirement.specifier}", cure)
    return Symptom(name, "ok", f"{version} ({requirement.specifier or 'any'})")


def gpu() -> Symptom:
    """The accelerator that torch sees."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of CUDA that cannot be loaded
        return Symptom("gpu", "broken", f"torch cannot be loaded: {error}", "install torch again (pytorch.org)")
    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        finding = ", ".join(f"{device.name} ({device.total_memory / 2**30:.0f} GiB)" for device in devices)
        return Symptom("gpu", "ok", f"{finding}; CUDA {torch.version.cuda}")
    if shutil.which("nvidia-smi"):
        cure = "install a torch built for this driver's CUDA (pytorch.org); does CUDA_VISIBLE_DEVICES hide the GPU?"
        return Symptom("gpu", "note", f"this machine has nvidia-smi, and torch {torch.__version__} sees no GPU", cure)
    return Symptom("gpu", "note", "none; everything is computed on the CPU", "small corpora only, or use a GPU machine")


def faiss_build() -> Symptom:
    """Whether FAISS can be loaded, with which instructions, and whether it computes on GPUs."""
    try:
        import faiss
    except ImportError as error:
        return Symptom("faiss build", "broken", f"cannot be loaded: {error}", "pip install faiss-cpu")
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    options = " ".join(faiss.get_compile_options().split()) if hasattr(faiss, "get_compile_options") else ""
    finding = f"{faiss.__version__}, {options or 'generic'}; {gpus or 'no'} GPUs"
    if gpus or not _has_gpu():
        return Symptom("faiss build", "ok", finding)
    cure = (
        f"FAISS searches on the CPU; for the GPU: pip install '{PACKAGE}[gpu]' && pip uninstall -y faiss-cpu && "
        "pip install --force-reinstall --no-deps faiss-gpu-cu12"
    )
    return Symptom("faiss build", "note", finding, cure)


def _has_gpu() -> bool:
    try:
        import torch
    except (ImportError, OSError):
        return False
    return bool(torch.cuda.is_available())


def extras(recipe: Recipe) -> Iterator[Symptom]:
    """The optional extras: what each brings, what of it is missing, and whether the recipe cannot do without."""
    needed: dict[str, list[str]] = {}
    for settings, location in settings_below(recipe):
        for extra in settings.extras():
            needed.setdefault(extra, []).append(location)
    for extra, brings in EXTRAS.items():
        wanted, missing = packages_of(extra), missing_packages(extra)
        whole = bool(wanted) and not missing
        lacks = f"without {', '.join(missing)}" if wanted else "not known to the installed version"
        cure = "" if whole else f"pip install '{PACKAGE}[{extra}]'"
        asks = f"; {recipe.name} needs it for {', '.join(needed[extra])}" if extra in needed else ""
        state: State = "ok" if whole else "broken" if extra in needed else "note"
        yield Symptom(f"extra {extra}", state, f"{brings}: {'installed' if whole else lacks}{asks}", cure)


def models(recipe: Recipe) -> Iterator[Symptom]:
    """Folders of models and files that the recipe names and that are not there; of pictures: :func:`pictures`."""
    for settings, location in settings_below(recipe):
        if isinstance(settings, Reader):
            continue
        for sentence in settings.missing():
            cure = "correct the path in the recipe (./ is relative to the recipe's file), or put the model there"
            yield Symptom(location, "broken", sentence, cure)


def pictures(recipe: Recipe, store: Store) -> Iterator[Symptom]:
    """Whether the folder that the recipe's pictures are read from is there; readers that draw theirs have none."""
    reader = recipe.images.reader
    if not isinstance(reader, FolderReader):
        return
    location = reader.folder.expanduser()
    if location.is_dir() and os.access(location, os.R_OK | os.X_OK):
        ignored = counted(reader.ignored(store.root))
        yield Symptom("pictures", "ok", f"{location.absolute()}{f'; no pictures: {ignored}' if ignored else ''}")
    else:
        cure = "name it with --images, or as images.reader.folder of the recipe (./ is relative to the recipe's file)"
        yield Symptom("pictures", "broken", f"{location.absolute()} is not a readable folder", cure)


def disk(store: Store) -> Iterator[Symptom]:
    """Whether the store can be written, and the room left where it is."""
    folder = next(path for path in (store.root, *store.root.parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as stream:
            stream.write(b"can this be written?")
            stream.flush()
    except OSError as error:
        cure = "check its path and rights, or name another one with --store or SPN4CIR_STORE"
        yield Symptom("store", "broken", f"{store.root} cannot be written: {error}", cure)
    else:
        yield Symptom("store", "ok", f"{store.root} can be written{'' if folder == store.root else ' (not made yet)'}")
    free = shutil.disk_usage(folder).free
    state: State = "broken" if free < EMPTY_DISK_BYTES else "note" if free < LOW_DISK_BYTES else "ok"
    cure = "" if state == "ok" else "free disk space; docs/operations.md lists what may be deleted"
    yield Symptom("free disk", state, f"{free / 2**30:,.1f} GiB", cure)


def server(store: Store) -> Iterator[Symptom]:
    """Whether the server behind a store's URL answers, can be written, and gives a lock to one machine only."""
    if not isinstance(store, RemoteStore):
        return
    name = f"locks/doctor-{uuid4().hex}"
    try:
        store.files.create(name, b"one")
        twice = store.files.create(name, b"another")
        store.files.delete(name)
    except Spn4cirError as error:
        yield Symptom("store's server", "broken", f"{store} cannot be used", str(error))
        return
    if twice:
        cure = "two machines at once can make the same artefact; a server with conditional writes prevents that"
        yield Symptom("store's server", "note", f"{store} writes If-None-Match although the file is there", cure)
    else:
        yield Symptom("store's server", "ok", f"{store} can be read and written, and locked")


def artifacts(store: Store, recipe: str) -> Iterator[Symptom]:
    """Whether the recipe's artefacts are those that were written; every byte is read."""
    for noun in STAGES:
        try:
            artifact = store.current(recipe, noun)
            if folder := store.without_summary(recipe, noun):
                yield Symptom(noun, "note", f"{folder} has no {SUMMARY}", "run again: the artefact is made anew")
            if artifact is not None:
                artifact.verify()
                yield Symptom(noun, "ok", f"{artifact.fingerprint}: {_size(artifact)}, all checksums match")
        except Spn4cirError as error:
            yield Symptom(noun, "broken", "damaged", str(error))


def _size(artifact: Artifact) -> str:
    return f"{sum(recorded['bytes'] for recorded in artifact.summary['files'].values()) / 2**20:,.1f} MiB"


def dagster_home(home: str) -> Iterator[Symptom]:
    """Whether Dagster keeps its runs, and one of them at a time has the GPU."""
    if importlib.util.find_spec("dagster") is None:
        return
    folder = Path(home)
    make = "export DAGSTER_HOME=$(spn4cir dagster-home)"
    if not home:
        yield Symptom("DAGSTER_HOME", "note", "not set: runs started by `dagster` are forgotten when it ends", make)
        return
    if not folder.is_absolute() or not folder.is_dir():
        yield Symptom("DAGSTER_HOME", "broken", f"{home} is not an existing absolute folder", make)
        return
    yield Symptom("DAGSTER_HOME", "ok", home)
    limit = pool_limit(folder / "dagster.yaml")
    if limit == 1:
        yield Symptom("pool limit", "ok", "one step at a time in each pool")
    else:
        finding = "none" if limit is None else str(limit)
        cure = f"delete that file and run: spn4cir dagster-home {home}. Two steps on one GPU run out of memory"
        yield Symptom("pool limit", "note", f"{finding} in {folder / 'dagster.yaml'}", cure)


def pool_limit(file: Path) -> int | None:
    """``concurrency.pools.default_limit`` of a ``dagster.yaml``, or None."""
    yaml: Any = importlib.import_module("yaml")  # comes with dagster
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
        limit = value["concurrency"]["pools"]["default_limit"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return None
    return int(limit) if re.fullmatch(r"\d+", str(limit)) else None
