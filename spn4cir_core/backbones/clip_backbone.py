"""Base class of the backbones on CLIP: starting weights by an open_clip name, from a folder, or from a hub id."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from typing_extensions import override

from spn4cir_core.backbones.base import Backbone, Pixels
from spn4cir_core.backbones.published import read_published
from spn4cir_core.errors import InputError, RecipeError
from spn4cir_core.models.clip_pixels import MEAN, STD
from spn4cir_core.models.model_source import missing_by
from spn4cir_core.models.open_clip_weights import TrainedWith, trained_with, trained_with_of_file
from spn4cir_core.models.weight_files import load_strictly, weights_sha256
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint, fingerprint, plain

if TYPE_CHECKING:
    from torch import nn

HUB = "hf-hub:"
CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")


class ClipBackbone(Backbone):
    """A backbone that starts from a CLIP of open_clip's; its checkpoints hold all weights."""

    model: str = Field(default="RN50x4-quickgelu", min_length=1)
    """A name that open_clip knows, a folder with ``open_clip_config.json`` and weights, or ``hf-hub:owner/name``."""
    pretrained: str = ""
    """For a known name: a tag (open_clip downloads; OpenAI's unless given) or a weight file. A folder or a hub id
    brings its own weights."""
    weights_of: Annotated[str, OmitDefaultFromFingerprint()] = ""
    """For a weight file: the tag whose weights it holds, or from which they were trained on. Mean, standard deviation
    and activation are that tag's; needed where the model's tags differ in them."""
    revision: str = ""
    """Commit of a hub id, which pins its files."""
    preprocessing: Literal["target_pad", "clip"] = "target_pad"
    """TargetPad to 1.25 before CLIP's resize and centre crop, or CLIP's own transform alone."""
    pixels: Annotated[Pixels, OmitDefaultFromFingerprint()] = "managed"
    """How pictures are opened; ``published`` where a benchmark's figures are to be reproduced."""

    @property
    @override
    def reads_stored_pixels(self) -> bool:
        return self.pixels == "published"

    @override
    def fingerprint(self) -> str:
        """Hash of settings and weights.

        Raises:
            InputError: the model folder or weight file is missing.
            RecipeError: open_clip knows no such model or tag.
        """
        return fingerprint({"settings": self, "weights": self._weights_fingerprint()})

    @override
    def missing(self) -> Iterable[str]:
        return missing_by(self._folder)

    @override
    def bare_fingerprint(self) -> str:
        return fingerprint({"settings": self, "described": self.described()})

    @override
    def restoring_fingerprint(self) -> str:
        """Hash of the settings without the source of the starting weights: checkpoints hold all weights."""
        outside = {"model", "pretrained", "weights_of", "revision"}
        return fingerprint({name: value for name, value in plain(self).items() if name not in outside})

    @override
    def inputs_fingerprint(self) -> str:
        stored = {"pixels": self.pixels} if self.reads_stored_pixels else {}
        px = self.described()["image_px"]
        return fingerprint({"kind": "clip pixels", "preprocessing": self.preprocessing, "image_px": px} | stored)

    @override
    def text_tokenizer(self) -> tuple[str, int]:
        """CLIP's tokenizer; nearly every CLIP reads 77 tokens."""
        return "clip", 77

    def described(self) -> dict[str, Any]:
        """What the network is built from: open_clip's ``model_cfg``, ``image_px``, ``mean``, ``std``; all JSON values.

        Raises:
            InputError: the configuration cannot be read.
            RecipeError: open_clip knows no such model, or its text tower is not open_clip's own.
        """
        published = self._config()
        config, preprocessing = dict(published["model_cfg"]), published.get("preprocess_cfg", {})
        _check_text_tower(self.model, config)
        px = config["vision_cfg"]["image_size"]
        return {
            "model_cfg": config,
            "image_px": px if isinstance(px, int) else px[0],
            "mean": preprocessing.get("mean", [round(float(value), 8) for value in MEAN]),
            "std": preprocessing.get("std", [round(float(value), 8) for value in STD]),
        }

    def fill(self, clip: nn.Module) -> None:
        """Put the model's starting weights into a CLIP built from :meth:`described`.

        Raises:
            InputError: the weights are missing, damaged, or of another model.
        """
        from open_clip.convert import convert_state_dict

        path = self._weights_file()
        weights = {name.removeprefix("module."): value for name, value in read_published(path).tensors.items()}
        load_strictly(clip, convert_state_dict(clip, weights), f"open_clip's {self.model!r}", path)

    def _weights_fingerprint(self) -> str:
        if self._is_file():
            differing = self._trained_with().differing()
            checksum = weights_sha256(self._weights_file())
            return fingerprint({"sha256": checksum, "trained_with": differing}) if differing else checksum
        if self._folder() is not None:
            return weights_sha256(self._weights_file())
        if self.model.startswith(HUB):
            return self.revision
        import open_clip

        self._check_name()
        return f"{self._tag()}, open_clip {open_clip.__version__}"

    def _config(self) -> dict[str, Any]:
        folder = self._folder()
        if folder is not None or self.model.startswith(HUB):
            path = self._hub_file(CONFIG) if folder is None else folder / CONFIG
            try:
                published: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                return {"model_cfg": published["model_cfg"], "preprocess_cfg": published.get("preprocess_cfg", {})}
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path} is not an open_clip configuration: {error}") from error
        import open_clip

        self._check_name()
        config = open_clip.get_model_config(self.model)
        trained = self._trained_with()
        if trained.quick_gelu:
            config["quick_gelu"] = True
        return {"model_cfg": config, "preprocess_cfg": {"mean": list(trained.mean), "std": list(trained.std)}}

    def _weights_file(self) -> Path:
        folder = self._folder()
        if folder is not None:
            weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
            if weights is None:
                raise InputError(f"no weights in {folder}; one of {', '.join(WEIGHTS)} must lie there")
            return weights
        if self.model.startswith(HUB):
            return self._hub_file(WEIGHTS[0], *WEIGHTS[1:])
        if self._is_file():
            return Path(self.pretrained).expanduser()
        import open_clip
        from open_clip.pretrained import download_pretrained

        self._check_name()
        try:
            return Path(download_pretrained(open_clip.get_pretrained_cfg(self.model, self._tag())))
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"open_clip cannot download {self.model!r}, pretrained {self._tag()!r}: {error}. Without a "
                "network, give a weight file as pretrained, or a folder as model."
            ) from error

    def _hub_file(self, *names: str) -> Path:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        owner_name = self.model.removeprefix(HUB)
        for name in names:
            try:
                return Path(hf_hub_download(owner_name, name, revision=self.revision or None))
            except EntryNotFoundError:  # also where the hub cannot be reached and its cache has no such file
                continue
            except (OSError, ValueError) as error:
                raise InputError(f"cannot fetch {name} of {self.model}, revision {self.revision!r}: {error}") from error
        raise InputError(
            f"{self.model} has none of {', '.join(names)}, or the hub cannot be reached and its cache has none"
        )

    def _folder(self) -> Path | None:
        path = Path(self.model).expanduser()
        is_path = not self.model.startswith(HUB) and (path.is_dir() or path.is_absolute() or self.model[0] == ".")
        if (is_path or self.model.startswith(HUB)) and self.pretrained:
            raise RecipeError(f"backbone {self.plugin_kind!r}: {self.model!r} brings its weights; leave out pretrained")
        if not is_path:
            return None
        if not (path / CONFIG).is_file():
            raise InputError(f"backbone {self.plugin_kind!r}: no open_clip model at {path} ({CONFIG} is missing there)")
        return path.resolve()

    def _is_file(self) -> bool:
        return bool(self.pretrained) and Path(self.pretrained).expanduser().is_file()

    def _tag(self) -> str:
        return self.pretrained or "openai"

    def _check_name(self) -> None:
        import open_clip

        if open_clip.get_model_config(self.model) is None:
            raise RecipeError(f"open_clip has no model {self.model!r}; open_clip.list_models() names them")
        tags = open_clip.list_pretrained_tags_by_model(self.model)
        if self._tag() not in tags and not self._is_file():
            raise RecipeError(
                f"backbone {self.plugin_kind!r}: pretrained {self._tag()!r} is neither a file nor a tag of "
                f"{self.model!r}; its tags: {', '.join(tags) or 'none'}"
            )

    def _trained_with(self) -> TrainedWith:
        """Preprocessing and activation that the tag or weight file of a known name was trained with."""
        if self._is_file():
            return trained_with_of_file(self.model, Path(self.pretrained).expanduser(), self.weights_of)
        return trained_with(self.model, self._tag())


def _check_text_tower(model: str, config: dict[str, Any]) -> None:
    text = config.get("text_cfg", {})
    outside: Sequence[str] = [name for name in ("hf_model_name", "hf_tokenizer_name") if text.get(name)]
    if outside or "multimodal_cfg" in config:
        raise RecipeError(
            f"open_clip's {model!r} reads texts with parts from elsewhere ({', '.join(outside) or 'multimodal_cfg'}); "
            "choose a model whose text tower and tokenizer are open_clip's own"
        )
