"""Stage ``captions``: one caption per image."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from spn4cir_core.captions.base import REFUSED, Captioner, ToCaption
from spn4cir_core.captions.caption_table import CAPTIONS_FILE, SCHEMA
from spn4cir_core.captions.cleaning import clean_captions
from spn4cir_core.captions.colours import dominant_colour
from spn4cir_core.captions.notes import caption_warnings, pictures_without_values, unused_columns
from spn4cir_core.captions.readings import READINGS_FILE, Reading, readings_table
from spn4cir_core.captions.settings import CaptionsInput
from spn4cir_core.engine.batches import Preparation, RowJob, fill, text_values
from spn4cir_core.engine.blas_threads import one_blas_thread
from spn4cir_core.engine.child_processes import ReadIn
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.engine.stage import Stage, Work
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import ImageFiles, image_files
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.images.picture_rows import LOOK_ROWS, NewLevels, level_keys, level_rows
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.models.fixed_batches import single_thread_workers
from spn4cir_core.models.lite0_levels import Lite0Levels
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.rows import GivenRows

log = logging.getLogger(__name__)
NO_CAPTION = "the captioner had nothing to say"
FAILED = "the captioner failed; asked again with new pictures, or once this artefact's folder is deleted"
SAMPLE_ROWS = 8
Loaded = tuple[ToCaption, Image.Image | None]


@one_blas_thread()
def write_captions(work: Work[CaptionsInput]) -> None:
    """Fill the draft with ``captions.parquet``, in the order of the manifest.

    Raises:
        InputError: the model, a side file or a picture cannot be read, or not one image got a caption.
    """
    settings, draft = work.settings.captions, work.draft
    files, images = image_files(work.settings.images, work.store), _images(work.parents["images"])
    captioner = settings.captioner.for_corpus(images, files)
    model_fingerprint = captioner.fingerprint(files)
    rows = GivenRows(work.store.rows("captions", model_fingerprint), pa.string())
    keys = [captioner.row_key(image) for image in images]
    items = dict(zip(keys, images, strict=True))
    known = rows.keys()
    missing = {key: image for key, image in items.items() if key not in known}
    items |= _with_features(work, captioner, files, missing, work.processes, only_stored=True)
    caption, levels = FirstUse(lambda: captioner.start(files)), NewLevels(work.store)
    look = Looking(captioner)
    unseen = {image.pixel_sha256 for image in items.values() if image.features is None}

    def compute(loaded: Sequence[Loaded]) -> pa.Array:
        images, pictures = zip(*look(loaded), strict=True)
        new = {image.pixel_sha256: image for image in images if image.pixel_sha256 in unseen}
        for trunk, hashes in _by_trunk(captioner, new).items():
            levels.append(trunk, hashes, [row_F for key in hashes if (row_F := new[key].features) is not None])
        return text_values(caption(images, pictures))

    job = RowJob(
        "captioning",
        rows,
        items,
        Opening(files, captioner, names_colours=settings.read_in == "threads"),
        compute,
        settings.batch_rows,
        settings.shard_rows,
        settings.readers,
        settings.read_in,
        _preparation(look, [items[key] for key in missing], settings.read_in),
    )
    computed = fill(job, work.progress, draft.seconds, work.processes)
    levels.write()
    work.processes.wait()
    counts = _sum(work.processes.gather(json.dumps(caption.counts)))
    if not work.processes.first:
        return
    with draft.timed("write"):
        captions_by_key = rows.values(items)
        if settings.clean_answers:
            answers = {key for key, image in zip(keys, images, strict=True) if captioner.is_answer(image)}
            captions_by_key |= clean_captions({key: text for key, text in captions_by_key.items() if key in answers})
        texts = [captions_by_key.get(key) for key in keys]
        captioned = [(image, text) for image, text in zip(images, texts, strict=True) if text]
        if not captioned:
            raise InputError(
                f"not one of the {len(images)} images got a caption from {captioner.plugin_kind!r}: all are empty, or "
                "its answers could not be used. Check its table, columns or model, or use another captioner"
            )
        draft.write_table(_table(captioner, model_fingerprint, captioned), CAPTIONS_FILE)
        readings = _readings(work, captioner, files, captioned)
        if readings:
            draft.write_table(readings_table(readings), READINGS_FILE)
    draft.rows = len(captioned)
    silent = texts.count("")
    refused = int(counts.get(REFUSED, 0))
    draft.drop(NO_CAPTION, silent)
    draft.drop(REFUSED, refused)
    draft.drop(FAILED, len(images) - len(captioned) - silent - refused)
    notes = [
        *unused_columns(captioner, images),
        *pictures_without_values(captioner, images),
        *caption_warnings([text for _, text in captioned]),
    ]
    sources = dict(Counter(captioner.origin(image) for image, _ in captioned).most_common())
    log.info("captions: %s", ", ".join(f"{count} from {source!r}" for source, count in sources.items()))
    for note in notes:
        log.warning("captions: %s", note)
    draft.details.update(
        captioner=captioner.plugin_kind,
        captioner_fingerprint=model_fingerprint,
        computed=computed,
        reused=len(items) - computed,
        **({"captioner_counts": counts} if counts else {}),
        sources=sources,
        notes=notes,
        **_statistics([text for _, text in captioned]),
        sample=[{"image_id": image.image_id, "caption": text} for image, text in _spread(captioned)],
    )


def _with_features(
    work: Work[CaptionsInput],
    captioner: Captioner,
    files: ImageFiles,
    items: Mapping[str, ToCaption],
    processes: Processes,
    *,
    only_stored: bool,
) -> dict[str, ToCaption]:
    """The images with the features that their captioner reads of them: of all, or of those that are in the store."""
    seen = dict(items)
    for trunk, keys in _by_trunk(captioner, items).items():
        stored = level_keys(trunk, work.store)
        keys = [key for key in keys if not only_stored or items[key].pixel_sha256 in stored]
        shown = [items[key] for key in keys]
        features_NF = level_rows(
            trunk,
            pa.table({name: [getattr(image, name) for image in shown] for name in PICTURE}),
            files,
            work.store,
            progress=work.progress,
            seconds=work.draft.seconds,
            processes=processes,
        )
        rows = np.asarray(features_NF)  # rows of a memory map are slow to make
        seen |= {key: replace(items[key], features=row_F) for key, row_F in zip(keys, rows, strict=True)}
    return seen


@dataclass(frozen=True)
class Looking:
    """Adds what captioners read of pictures to those that are open and that the store does not have it of."""

    captioner: Captioner

    def __call__(self, loaded: Sequence[Loaded]) -> list[Loaded]:
        """The same pictures with features; without pixels where the colour is named, which nothing then reads."""
        seen = list(loaded)
        unseen = {str(number): image for number, (image, _) in enumerate(loaded) if image.features is None}
        for trunk, keys in _by_trunk(self.captioner, unseen).items():
            numbers = [int(key) for key in keys]
            features_NF = trunk.start()([picture for number in numbers if (picture := loaded[number][1]) is not None])
            for number, row_F in zip(numbers, features_NF, strict=True):
                image, picture = loaded[number]
                seen[number] = replace(image, features=row_F), None if image.colour else picture
        return seen


def _preparation(look: Looking, items: Iterable[ToCaption], read_in: ReadIn) -> Preparation | None:
    """Has the threads that open pictures pass them through the network as well, so that no core waits for another.

    Not where there is nothing to look at, nor where the network is on a GPU, which takes large batches from one thread.
    """
    of_pictures = {look.captioner.trunk_for(image) for image in items if image.features is None}
    networks = [trunk for trunk in of_pictures if trunk is not None and trunk.is_installed]
    if read_in != "threads" or not networks or any(trunk.device != "cpu" for trunk in networks):
        return None
    return Preparation(look, LOOK_ROWS, single_thread_workers)


def _by_trunk(captioner: Captioner, items: Mapping[str, ToCaption]) -> dict[Lite0Levels, list[str]]:
    """Keys of the images by the network that their captioner reads; without one, the captioner says so."""
    keys_of: dict[Lite0Levels, list[str]] = {}
    for key, image in items.items():
        if (trunk := captioner.trunk_for(image)) is not None:
            keys_of.setdefault(trunk, []).append(key)
    return {trunk: keys for trunk, keys in keys_of.items() if trunk.is_installed}


def _readings(
    work: Work[CaptionsInput], captioner: Captioner, files: ImageFiles, captioned: Sequence[tuple[ToCaption, str]]
) -> dict[str, Sequence[Reading]]:
    """What else pictures may be called, by image id."""
    read = {image.image_id: image for image, _ in captioned if captioner.trunk_for(image) is not None}
    if not read:
        return {}
    images = list(_with_features(work, captioner, files, read, ALONE, only_stored=False).values())
    readings = captioner.readings(images, [caption for image, caption in captioned if image.image_id in read])
    return {image.image_id: own for image, own in zip(images, readings, strict=True) if own}


@dataclass(frozen=True)
class Opening:
    """Loads a picture beside what is known of it; None where the captioner does not look at it."""

    files: ImageFiles
    captioner: Captioner
    names_colours: bool = False
    """Whether main colours are named here, by the readers' threads, while the network is busy with other pictures."""

    def __call__(self, image: ToCaption) -> Loaded:
        """The image and its upright RGB pixels; of those whose colour is named here, what is left to be seen."""
        if not self.captioner.opens(image):
            return image, None
        picture = self.files.open_known((image.path, image.pixel_sha256))
        if not (self.names_colours and self.captioner.names_colour(image)):
            return image, picture
        image, trunk = replace(image, colour=dominant_colour(picture)), self.captioner.trunk_for(image)
        return image, trunk.seen(picture) if trunk is not None and image.features is None else None


def _sum(counts_of_processes: Sequence[str]) -> dict[str, float]:
    """The counts of all processes together."""
    total: Counter[str] = Counter()
    for counts in counts_of_processes:
        total.update(json.loads(counts))
    return dict(total)


def _images(manifest: Artifact) -> list[ToCaption]:
    table = read_manifest(manifest, *PICTURE, "category", "attributes")
    columns = (table[name].to_pylist() for name in table.column_names)
    return [
        ToCaption(image_id, path, pixel_sha256, category, dict(attributes or ()))
        for image_id, path, pixel_sha256, category, attributes in zip(*columns, strict=True)
    ]


def _table(captioner: Captioner, model_fingerprint: str, captioned: list[tuple[ToCaption, str]]) -> pa.Table:
    rows = [
        (image.image_id, text, captioner.origin(image), captioner.prompt(image), model_fingerprint)
        for image, text in captioned
    ]
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _statistics(captions: list[str]) -> dict[str, Any]:
    words = sorted(len(caption.split()) for caption in captions)
    return {
        "distinct_captions": len(set(captions)),
        "words_fewest": words[0],
        "words_median": words[len(words) // 2],
        "words_most": words[-1],
    }


def _spread(captioned: list[tuple[ToCaption, str]]) -> list[tuple[ToCaption, str]]:
    """A few rows from all over the manifest."""
    return captioned[:: max(1, -(-len(captioned) // SAMPLE_ROWS))]


def _outside(tables: CaptionsInput, store: Store) -> str:
    """Weights and side files: others behind the same name make another artefact."""
    return tables.captions.captioner.fingerprint(image_files(tables.images, store))


CAPTIONS = Stage(
    name="captions",
    parents=("images",),
    view=CaptionsInput,
    version=1,
    write=write_captions,
    external_inputs=_outside,
    multi_process=True,
)
