"""Published checkpoint files: read without executing anything, recognised by their keys, every key accounted for.

A :class:`Layout` describes one kind of file. A backbone's layouts stand in a module named in ``LAYOUT_MODULES``, as
the tuple ``LAYOUTS``; they are pure data and functions on tensors, so that a file can be recognised whichever
backbone the recipe asks for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spn4cir_core.errors import InputError, RecipeError
from spn4cir_core.models.weight_files import load_strictly, plain_names, read_weight_file

if TYPE_CHECKING:
    from torch import Tensor

    from spn4cir_core.backbones.base import Backbone, Network

LAYOUT_MODULES = {
    "clip4cir": "spn4cir_core.backbones.clip4cir.published",
    "tgcir": "spn4cir_core.backbones.tgcir.published",
    "blip4cir": "spn4cir_core.backbones.blip4cir.published",
    "sprc": "spn4cir_core.backbones.sprc.published",
}
NAMES_SHOWN = 6


class FileTensors:
    """The tensors of a published file. Each must be taken, or ignored with a reason."""

    def __init__(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        self.path = path
        self.left = dict(tensors)
        self.ignored: dict[str, str] = {}

    def take(self, name: str) -> Tensor:
        """The tensor of this name.

        Raises:
            InputError: the file has none.
        """
        if name not in self.left:
            raise InputError(f"{self.path} has no tensor {name!r}, which this kind of checkpoint holds")
        return self.left.pop(name)

    def below(self, prefix: str) -> dict[str, Tensor]:
        """All tensors whose names begin with the prefix, by what follows it; may be none."""
        names = [name for name in self.left if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.left.pop(name) for name in names}

    def ignore(self, prefix: str, reason: str) -> None:
        """Leave out all tensors whose names begin with the prefix."""
        for name in [name for name in self.left if name.startswith(prefix)]:
            self.left.pop(name)
            self.ignored[name] = reason


@dataclass(frozen=True)
class Layout:
    """How one kind of published file names the tensors of a backbone's network."""

    backbone: str
    """The backbone's ``plugin_kind``."""
    stage: Literal[1, 2]
    """A stage-2 file holds a network whose query encoder is apart (:meth:`Network.untie_query_encoder`)."""
    held_under: str
    """The file's top-level key under which the tensors stand."""
    signs: tuple[str, ...]
    """Prefixes: each begins the name of some tensor."""
    not_signs: tuple[str, ...]
    """Prefixes: none begins the name of any tensor."""
    translate: Callable[[FileTensors], dict[str, Tensor]]
    """The network's tensors by their names there. Takes or ignores every tensor of the file that it knows."""
    fresh: tuple[str, ...] = ()
    """Prefixes of the network's own tensors that such a file never holds; they keep their starting weights."""

    def fits(self, held_under: str, tensors: Mapping[str, Tensor]) -> bool:
        """Whether these tensors, which stand under this key, are of this kind."""
        begun = {
            prefix for prefix in (*self.signs, *self.not_signs) if any(name.startswith(prefix) for name in tensors)
        }
        return held_under in (self.held_under, "") and begun == set(self.signs)

    def __str__(self) -> str:
        return f"stage {self.stage} of {self.backbone}"


@dataclass(frozen=True)
class PublishedFile:
    """The tensors of a file, where in it they stood, and what else it held."""

    path: Path
    held_under: str
    tensors: Mapping[str, Tensor]
    beside: tuple[str, ...] = ()
    """Other top-level keys (``epoch``, an optimiser's state …), which nothing reads."""

    def __str__(self) -> str:
        names = ", ".join(sorted(self.tensors)[:NAMES_SHOWN])
        under = f" under the key {self.held_under!r}" if self.held_under else ""
        return f"{len(self.tensors)} tensors{under}: {names} …"


@dataclass(frozen=True)
class Account:
    """How a published file was used: each tensor either loaded, or ignored with a reason."""

    layout: str
    used: int
    ignored: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    """Tensors of the network that keep their starting weights."""

    def details(self) -> dict[str, Any]:
        """For a summary: counts, and how many tensors were ignored for which reason."""
        reasons: dict[str, int] = {}
        for reason in self.ignored.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        return {
            "layout": self.layout,
            "tensors_used": self.used,
            "tensors_ignored": reasons,
            "not_read": list(self.beside),
            "tensors_kept_as_started": len(self.fresh),
        }


def read_published(path: Path) -> PublishedFile:
    """Read a safetensors file, or a torch file with weights alone (nothing else is unpickled).

    Floating tensors come as float32, names without what wrappers add (``module.``). The tensors are those of the only,
    or the first known, top-level key whose value is a table of tensors; a file may also hold them bare.

    Raises:
        InputError: the file is missing or damaged, would execute code, or holds no tensors by name.
    """
    if not path.is_file():
        raise InputError(f"no checkpoint file {path}")
    content = _read(path)
    if _is_weights(content):
        return PublishedFile(path, "", _floats(plain_names(content, path)))
    tables = [key for key, value in content.items() if isinstance(value, Mapping) and _is_weights(value)]
    if len(tables) != 1:
        raise InputError(
            f"{path} is no published checkpoint: of its top-level keys {_some(sorted(map(str, content)))} "
            f"{len(tables) or 'none'} hold tensors by name"
        )
    beside = tuple(sorted(str(key) for key in content if key != tables[0]))
    return PublishedFile(path, str(tables[0]), _floats(plain_names(content[tables[0]], path)), beside)


def recognise(file: PublishedFile) -> Layout:
    """The one layout the file has.

    Raises:
        InputError: it has none; the message says what it holds and which kinds are known.
    """
    known = [layout for layouts in map(layouts_of, LAYOUT_MODULES) for layout in layouts]
    fitting = [layout for layout in known if layout.fits(file.held_under, file.tensors)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InputError(f"{file.path} could be {' or '.join(map(str, fitting))}: it holds {file}")
    kinds = "; ".join(f"{layout} ({layout.held_under}: {', '.join(layout.signs)})" for layout in known)
    raise InputError(f"{file.path} is no checkpoint of a known backbone. It holds {file} The known ones: {kinds}")


def load_published(path: Path, backbone: Backbone, texts: Sequence[str], seed: int) -> tuple[Network, Account]:
    """A network of the backbone with the weights of a published stage-1 or stage-2 file.

    Raises:
        InputError: the file is of another backbone or of none, a tensor is missing, of another shape, or not known.
        RecipeError: the backbone has no published checkpoints.
    """
    from torch import nn

    if not layouts_of(backbone.plugin_kind):
        raise RecipeError(
            f"backbone {backbone.plugin_kind!r} has no published checkpoint files; start_from takes the folder of a "
            f"checkpoint artefact, or choose one of {', '.join(LAYOUT_MODULES)}"
        )
    file = read_published(path)
    layout = recognise(file)
    if layout.backbone != backbone.plugin_kind:
        raise InputError(
            f"{path} is a checkpoint of {layout}, the recipe asks for backbone {backbone.plugin_kind!r}. "
            f"It holds {file}"
        )
    network = backbone.build_bare(texts, seed)
    assert isinstance(network, nn.Module)
    if layout.stage == 2:
        network.untie_query_encoder()
    source = FileTensors(file.tensors, path)
    weights = layout.translate(source)
    if source.left:
        raise InputError(f"{path}, {layout}: {len(source.left)} tensors are not known: {_some(sorted(source.left))}")
    started = network.state_dict()
    fresh = sorted(name for name in started.keys() - weights.keys() if name.startswith(layout.fresh))
    load_strictly(
        network, {**{name: started[name] for name in fresh}, **weights}, f"{layout} as the recipe has it", path
    )
    used = len(file.tensors) - len(source.ignored)
    return network, Account(str(layout), used, source.ignored, file.beside, tuple(fresh))


def layouts_of(kind: str) -> tuple[Layout, ...]:
    """The layouts of a backbone's published files; none for a backbone that has no such files."""
    if kind not in LAYOUT_MODULES:
        return ()
    layouts: tuple[Layout, ...] = importlib.import_module(LAYOUT_MODULES[kind]).LAYOUTS
    return layouts


def _read(path: Path) -> Mapping[str, Any]:
    content = read_weight_file(path)
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds a {type(content).__name__}, not tensors by name")
    return content


def _is_weights(value: Mapping[Any, Any]) -> bool:
    import torch

    return bool(value) and all(isinstance(name, str) and torch.is_tensor(item) for name, item in value.items())


def _floats(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (" …" if len(names) > NAMES_SHOWN else "")
