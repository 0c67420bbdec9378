"""Where a transformers model comes from: a folder, a model that ships with this package, or a hub id."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spn4cir_core.errors import InputError, RecipeError
from spn4cir_core.models.weight_files import weights_sha256
from spn4cir_core.store.checksums import file_state
from spn4cir_core.store.fingerprints import fingerprint

BUILTIN = {"builtin:shapes": Path(__file__).parents[1] / "captions" / "shapes_llava"}
DECIDING = {".safetensors", ".json", ".jinja", ".model", ".txt"}
"""Suffixes of the files of a model folder that decide what it answers."""


@dataclass(frozen=True)
class ModelSource:
    """What ``from_pretrained`` is given. ``folder`` is None for a hub id."""

    name: str
    revision: str
    folder: Path | None

    @property
    def fingerprint(self) -> str:
        """Hash of the folder's files, or of hub id and revision."""
        if self.folder is None:
            return fingerprint({"hub": self.name, "revision": self.revision})
        return fingerprint({path.name: weights_sha256(path) for path in self._files(self.folder)})

    @property
    def state(self) -> tuple[object, ...]:
        """What changes when a file of the folder is written again, without reading any; or hub id and revision."""
        if self.folder is None:
            return self.name, self.revision
        return tuple((path.name, *file_state(path)) for path in self._files(self.folder))

    def _files(self, folder: Path) -> list[Path]:
        return sorted(path for path in folder.iterdir() if path.suffix in DECIDING and path.is_file())

    @property
    def tree_fingerprint(self) -> str:
        """As :attr:`fingerprint`, with the files of sub-folders, in which sentence-transformers keeps its layers."""
        if self.folder is None:
            return self.fingerprint
        files = sorted(path for path in self.folder.rglob("*") if path.suffix in DECIDING and path.is_file())
        return fingerprint({path.relative_to(self.folder).as_posix(): weights_sha256(path) for path in files})


def find_model(model: str, revision: str) -> ModelSource:
    """Tell folders from hub ids before any library does, which would take a missing folder for an id.

    Raises:
        InputError: the folder is missing or holds no safetensors model, or the name is no hub id.
    """
    if model.startswith("builtin:") and model not in BUILTIN:
        raise InputError(f"no built-in model {model!r}; there is {', '.join(BUILTIN)}")
    folder = BUILTIN.get(model, Path(model).expanduser().absolute())
    if folder.is_dir():
        has_layers = (folder / "modules.json").is_file()  # of sentence-transformers, one of which may be the model
        for needed in ("config.json", "*.safetensors"):
            if not any(folder.glob(needed)) and not (has_layers and any(folder.glob(f"*/{needed}"))):
                raise InputError(f"model folder {folder} has no {needed}; save the model there with save_pretrained")
        return ModelSource(str(folder), "", folder)
    if model.startswith(("/", ".", "~")) or not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise InputError(f"model folder {folder} does not exist; give a folder, a hub id owner/name, or builtin:shapes")
    return ModelSource(model, revision, None)


def missing_model(model: str, revision: str) -> Iterator[str]:
    """What :func:`find_model` raises, as a sentence; of a hub id nothing is known."""
    return missing_by(lambda: find_model(model, revision))


def missing_by(look_up: Callable[[], object]) -> Iterator[str]:
    """The sentence of the error that a look-up for a file raises; nothing where it raises none."""
    try:
        look_up()
    except (InputError, RecipeError) as error:
        yield str(error)


def load_error(role: str, model: str, error: Exception) -> InputError:
    """The one sentence to raise when a library cannot load a model.

    Args:
        role: what the model is for, such as ``reranker``.
    """
    if "trust_remote_code" in str(error):
        return InputError(
            f"{role}: {model!r} needs code from its own repository, which is never run here; take a model that "
            "transformers or sentence-transformers loads without it"
        )
    return InputError(f"{role}: cannot load {model!r}: {' '.join(str(error).split())}")
