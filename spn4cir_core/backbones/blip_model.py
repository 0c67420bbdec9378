"""Reads a BLIP or BLIP-2 model as transformers saves it: config, tokenizer and tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spn4cir_core.errors import InputError
from spn4cir_core.models.model_source import find_model

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "model*.safetensors"
BESIDE = ["config.json", "tokenizer*", "vocab.txt", "special_tokens_map.json"]


@dataclass(frozen=True)
class BlipModel:
    """A folder as ``save_pretrained`` leaves it: config, tokenizer, safetensors."""

    name: str
    folder: Path

    def config(self, model_type: str) -> Any:
        """The transformers config.

        Raises:
            InputError: it cannot be read, or is of another kind of model.
        """
        from transformers import AutoConfig

        try:
            config: Any = AutoConfig.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(f"backbone model {self.name!r}: its config cannot be read: {error}") from error
        if config.model_type != model_type:
            raise InputError(
                f"backbone model {self.name!r} is a {config.model_type!r} model; this backbone needs {model_type!r}"
            )
        return config

    def vocabulary(self, *special: str) -> str:
        """The tokenizer as JSON, with these special tokens added where it lacks them.

        Raises:
            InputError: there is none.
        """
        from transformers import AutoTokenizer

        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(f"backbone model {self.name!r}: its tokenizer cannot be read: {error}") from error
        tokens = tokenizer.backend_tokenizer
        tokens.add_special_tokens([token for token in special if tokens.token_to_id(token) is None])
        json: str = tokens.to_str()
        return json

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name.

        Raises:
            InputError: there is no safetensors file, or a damaged one.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        files = sorted(self.folder.glob(WEIGHTS))
        if not files:
            raise InputError(f"backbone model {self.name!r} has no {WEIGHTS} in {self.folder}")
        tensors: dict[str, Tensor] = {}
        for file in files:
            try:
                tensors |= load_file(file)
            except SafetensorError as error:
                raise InputError(f"{file} is damaged: {error}") from error
        return tensors


def open_model(model: str, revision: str, *, weights: bool) -> BlipModel:
    """A local folder, or the folder into which a hub id is downloaded (once).

    Args:
        weights: whether they must be there too; a published checkpoint brings its own.

    Raises:
        InputError: there is no such folder, or the hub cannot give it.
    """
    if not weights and (Path(model).expanduser() / "config.json").is_file():
        return BlipModel(model, Path(model).expanduser())
    source = find_model(model, revision)
    if source.folder is not None:
        return BlipModel(model, source.folder)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    patterns = [*BESIDE, WEIGHTS] if weights else BESIDE
    try:
        return BlipModel(model, Path(snapshot_download(model, revision=revision, allow_patterns=patterns)))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise InputError(
            f"backbone model {model!r}, revision {revision!r}, cannot be downloaded: {error}. Without a network, give "
            "a folder saved with save_pretrained."
        ) from error
