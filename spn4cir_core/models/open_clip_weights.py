"""What open_clip weights were trained with besides their shape: preprocessing, and GELU or QuickGELU.

A tag says so. A file of weights does not, so for one the tags of its model must agree, or a setting names the tag.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

from spn4cir_core.errors import InputError, RecipeError


@dataclass(frozen=True)
class TrainedWith:
    """Settings of training that weights have to be used with again; the default values are open_clip's."""

    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    quick_gelu: bool = False
    """QuickGELU, although the configuration that goes by the model's name has GELU."""

    def differing(self) -> dict[str, Any]:
        """What differs from the default values, for a fingerprint."""
        return {name: value for name, value in asdict(self).items() if value != getattr(TrainedWith(), name)}


def trained_with(model: str, tag: str) -> TrainedWith:
    """What the weights of a tag were trained with."""
    import open_clip

    model = model.replace("/", "-")
    config: dict[str, Any] = dict(open_clip.get_model_config(model) or {})
    published: dict[str, Any] = dict(open_clip.get_pretrained_cfg(model, tag) or {})
    known = {name: published[name] for name in TrainedWith.__dataclass_fields__ if published.get(name)}
    known = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    return TrainedWith(**{**known, "quick_gelu": bool(known.get("quick_gelu") and not config.get("quick_gelu"))})


def trained_with_of_file(model: str, path: Path, weights_of: str) -> TrainedWith:
    """What the weights of a file were trained with.

    Args:
        weights_of: the tag whose weights these are, or from which they were trained on; empty where the recipe names
            none.

    Raises:
        InputError: the file is OpenAI's TorchScript archive.
        RecipeError: ``weights_of`` is no tag of the model, or is missing although its tags differ.
    """
    import open_clip

    refuse_archive(path)
    tags = open_clip.list_pretrained_tags_by_model(model.replace("/", "-"))
    if weights_of:
        if weights_of not in tags:
            raise RecipeError(
                f"weights_of = {weights_of!r} is no tag of {model!r}; its tags: {', '.join(tags) or 'none'}"
            )
        return trained_with(model, weights_of)
    ways: dict[TrainedWith, list[str]] = {}
    for tag in tags:
        ways.setdefault(trained_with(model, tag), []).append(tag)
    if len(ways) > 1:
        groups = "; ".join(f"{', '.join(names)}: {_in_words(way)}" for way, names in ways.items())
        raise RecipeError(
            f"{path} does not say with which preprocessing and activation it was trained, and the tags of {model!r} "
            f"differ ({groups}). Set weights_of to the tag whose weights these are, or from which they were trained on"
        )
    return next(iter(ways), trained_with(model, ""))


def refuse_archive(path: Path) -> None:
    """Refuse a TorchScript archive, as OpenAI publishes its CLIPs: reading one runs the code in it.

    Raises:
        InputError: it is such an archive.
    """
    if is_zipfile(path):
        with ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise InputError(
                    f"{path} is a TorchScript archive, as OpenAI publishes its CLIPs, and holds code. Use the tag "
                    "'openai', or the model's -quickgelu name with a plain state dict as the file"
                )


def _in_words(way: TrainedWith) -> str:
    activation = "QuickGELU" if way.quick_gelu else "the name's own activation"
    return f"{activation}, mean {way.mean[0]:.2g}, {way.resize_mode}, {way.interpolation}"
