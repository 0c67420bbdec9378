"""Stage 1 and the control model beside the indexed one, opened from the store at their first query."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from spn4cir_core.errors import InputError, Spn4cirError
from spn4cir_core.evaluation.encode import same_target_encoder
from spn4cir_core.images.files import ImageFiles, image_files
from spn4cir_core.index.image_index import build_index
from spn4cir_core.search.search import Searcher, current_index
from spn4cir_core.search.settings import SearchSettings
from spn4cir_core.search.target_vectors import TargetVectors
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import load_checkpoint
from spn4cir_core.training.roles import ROLES, SERVED, STAGE1, STAGE2, TRAINED, ModelName

if TYPE_CHECKING:
    import pyarrow as pa

    from spn4cir_core.images.settings import ImageSettings

log = logging.getLogger(__name__)
INDEXED: ModelName = SERVED.name
EMBEDDED_ON_DEMAND = 20_000
"""At most so many pictures are encoded during a request; pictures with stored vectors do not count."""
SHARED = "the index's candidate vectors"
OWN = "candidate vectors of its own"


class NoSuchModel(InputError):
    """The model is unknown, or cannot be opened."""


@dataclass(frozen=True)
class Model:
    """A model: its name, its title in a heading, and the reason why it cannot answer (``missing``; empty if it can)."""

    name: ModelName
    title: str
    missing: str


@dataclass(frozen=True)
class Opened:
    """An opened model. ``vectors``: whose candidate vectors its queries are compared with; empty: its own."""

    searcher: Searcher
    vectors: str


class Models:
    """The indexed model, and others by name, each with what opens it or why it cannot be opened."""

    def __init__(
        self,
        indexed: Searcher,
        others: Mapping[ModelName, Callable[[], Opened] | str] | None = None,
        fingerprint: str = "",
    ) -> None:
        self._indexed, self._others = indexed, dict(others or {})
        self.fingerprint = fingerprint
        """Fingerprint of the index; empty where it is not in a store."""
        self._opened: dict[ModelName, Opened] = {}
        self._opening = threading.Lock()

    @classmethod
    def of_recipe(cls, recipe: str, images: ImageSettings, store: Store) -> Models:
        """The recipe's current index, with those of its other checkpoints that belong to it.

        Raises:
            StoreError: there is no index, or it is damaged.
        """
        index = current_index(recipe, store)
        files = image_files(images, store)
        searcher = Searcher.open(index, files=files)
        others: dict[ModelName, Callable[[], Opened] | str] = {
            STAGE2.name: lambda: Opened(searcher.beside(searcher.network), SHARED)
        }
        for role in TRAINED.values():
            name = role.name
            if role == STAGE2:
                continue
            checkpoint = store.current(recipe, role.artifact)
            missing = _why_not(role.artifact, checkpoint, index, store)
            if checkpoint is None or missing:
                others[name] = missing
            else:
                others[name] = partial(_open, checkpoint, searcher, index, files, store)
        return cls(searcher, others, index.fingerprint)

    @property
    def indexed(self) -> Searcher:
        """The searcher of the model whose vectors the index holds."""
        return self._indexed

    def listed(self) -> list[Model]:
        """Every model, the indexed one first."""
        missing = {name: how if isinstance(how, str) else "" for name, how in self._others.items()}
        return [Model(name, ROLES[name].title, reason) for name, reason in ({INDEXED: ""} | missing).items()]

    def open(self, name: ModelName) -> Opened:
        """The model of that name, opened at the first call; calls from other threads wait until it is open.

        Raises:
            NoSuchModel: there is no such model, or it cannot be opened.
        """
        if name == INDEXED:
            return Opened(self._indexed, "")
        how = self._others.get(name, "only the index is served")
        if isinstance(how, str):
            raise NoSuchModel(f"{name} cannot be asked: {how}")
        if name not in self._opened:
            with self._opening:
                if name not in self._opened:
                    self._opened[name] = _open_or_refuse(name, how)
        return self._opened[name]


def _open_or_refuse(name: ModelName, how: Callable[[], Opened]) -> Opened:
    """Open a model. A failure goes to the log and not to the client: its message may hold paths of this machine."""
    try:
        return how()
    except NoSuchModel:
        raise
    except Spn4cirError as error:
        log.warning("%s cannot be opened: %s", name, error)
        raise NoSuchModel(f"{name} cannot be opened; the server's log says why") from error


def _why_not(noun: str, checkpoint: Artifact | None, index: Artifact, store: Store) -> str:
    """Why a checkpoint cannot be compared beside this index: both must start from the same stage 1; empty if it can."""
    if checkpoint is None:
        return f"the store holds no {noun} of this recipe"
    indexed = store.get(STAGE2.artifact, index.summary["parents"][STAGE2.artifact])
    start = indexed.summary["parents"].get(STAGE1.artifact) if indexed else None
    parent = checkpoint.summary["parents"].get(STAGE1.artifact)
    own = checkpoint.fingerprint if noun == STAGE1.artifact else parent
    if start and own != start:
        return f"{noun} has been trained anew since this index was made; materialise search_index again"
    return ""


def _open(checkpoint: Artifact, indexed: Searcher, index: Artifact, files: ImageFiles, store: Store) -> Opened:
    loaded = load_checkpoint(checkpoint)
    if same_target_encoder(loaded.network, indexed.network):
        return Opened(indexed.beside(loaded.network), SHARED)
    images, stored = _indexed_images(indexed), TargetVectors(loaded, files, store)
    if (new := len(stored.missing(images))) > EMBEDDED_ON_DEMAND:
        raise NoSuchModel(
            f"{checkpoint.noun} has a target encoder of its own, and {new} pictures are too many to encode while you "
            "wait; compare it in the eval_report"
        )
    log.warning("%s has a target encoder of its own: indexing %d pictures with it", checkpoint.noun, len(images))
    with store.translate_write_errors(index.noun):
        vectors_VD = stored.of(images)
    settings = index.summary["settings"]
    own_index = build_index(vectors_VD, SearchSettings.model_validate(settings["search_index"]), settings["seed"])
    return Opened(indexed.beside(loaded.network, own_index), OWN)


def _indexed_images(indexed: Searcher) -> pa.Table:
    """path and pixel_sha256 of the indexed images, in the index's order."""
    import pyarrow as pa

    return pa.table({name: indexed.rows.columns[name] for name in ("path", "pixel_sha256")})
