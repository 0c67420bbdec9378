"""Writes a trained network as a folder to take away: ``spn4cir export-model``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spn4cir_core.model_export.model_card import model_card
from spn4cir_core.model_export.standalone import standalone
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.outputs import whole_folder
from spn4cir_core.training.checkpoints import load_checkpoint

FORMAT = 1
SCRIPT = '''"""Pictures of a folder that fit a reference image and a text: python search.py photos/ a.jpg "but red"."""

import sys
from pathlib import Path

from composed_encoder import ComposedEncoder

if len(sys.argv) != 4:
    sys.exit(__doc__)
folder, image, text = sys.argv[1:]
encoder = ComposedEncoder(Path(__file__).parent)
paths = [path for path in sorted(Path(folder).rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")]
if not paths:
    sys.exit(f"no .jpg, .jpeg, .png or .webp in {folder}")
try:
    query = encoder.encode_queries([image], [text])[0]
    scores = encoder.encode_targets(paths) @ query
except OSError as error:  # also what Pillow cannot read
    sys.exit(f"a picture cannot be read: {error}")
scores = scores if encoder.target_tokens == 1 else scores.max(axis=1)
for row in scores.argsort()[::-1][:10]:
    print(f"{scores[row]:.3f}  {paths[row]}")
'''

OF_LIBRARY = 'it stays a folder; SentenceTransformer(…, backend="onnx") of its own library exports it'


@dataclass(frozen=True)
class ExportedModel:
    """What was written."""

    files: list[Path]
    onnx_errors: dict[str, str]
    """Encoder → why there is no ONNX file of it."""


def export_model(
    checkpoint: Artifact, report: Artifact | None, store: Store, folder: Path, licence: str = "", onnx: bool = False
) -> ExportedModel:
    """Write a checkpoint's weights, its encoders' graphs, a loader, a script that searches with it, and a model card.

    Args:
        report: an ``eval_report``; its figures are on the card where it measured this checkpoint.
        folder: it must be new or empty; it is there whole or not at all.
        licence: of the pictures and texts that were trained on, as the card shall say it.
        onnx: also write the encoders as ONNX, each compared with the recorded graph.

    Raises:
        InputError: the folder holds something or cannot be written, or the network cannot be recorded.
        MissingExtra: ONNX is wanted, and its packages are not installed.
    """
    if onnx:
        from spn4cir_core.model_export.onnx_encoders import need_onnx

        need_onnx()
    with whole_folder(folder) as scratch:
        errors = _write(checkpoint, report, store, scratch, licence, onnx)
    return ExportedModel(sorted(path for path in folder.rglob("*") if path.is_file()), errors)


def _write(
    checkpoint: Artifact, report: Artifact | None, store: Store, folder: Path, licence: str, onnx: bool
) -> dict[str, str]:
    from safetensors.torch import save_file

    from spn4cir_core.model_export.graphs import encoders_source, record_encoders

    loaded = load_checkpoint(checkpoint)
    inputs = loaded.network.exported_inputs()
    graphs = record_encoders(loaded.network, inputs)
    weights = {name: tensor for graph in graphs.values() for name, tensor in graph.weights.items()}
    save_file({name: tensor.contiguous().clone() for name, tensor in weights.items()}, folder / "model.safetensors")
    about: dict[str, Any] = {
        "format": FORMAT,
        "checkpoint": checkpoint.fingerprint,
        "dim": loaded.network.dim,
        "target_tokens": loaded.network.target_tokens,
        "picture": inputs.picture | ({"as_stored": True} if loaded.backbone.reads_stored_pixels else {}),
        "text": inputs.text,
        **({"encoder": inputs.encoder.settings} if inputs.encoder else {}),
    }
    if inputs.encoder:
        inputs.encoder.save(folder)
    texts = {
        "model.json": json.dumps(about, ensure_ascii=False, indent=1),
        "encoders.py": encoders_source(graphs),
        "composed_encoder.py": standalone("spn4cir_core.model_export.loader"),
        "search.py": SCRIPT,
        "README.md": model_card(checkpoint, report, store, loaded, licence),
        **({"tokenizer.json": inputs.tokenizer} if inputs.tokenizer else {}),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    if not onnx:
        return {}
    from spn4cir_core.model_export.onnx_encoders import write_onnx

    errors = write_onnx(graphs, folder / "onnx")
    return {"the library's model, whose vectors the others read": OF_LIBRARY, **errors} if inputs.encoder else errors
