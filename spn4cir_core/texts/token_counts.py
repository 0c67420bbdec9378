"""How long a text is for the text encoder that will read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spn4cir_core.errors import RecipeError
from spn4cir_core.models.minilm import minilm_folder
from spn4cir_core.store.fingerprints import files_fingerprint

BACKBONE = "backbone"
"""The recipe puts the name that the backbone gives in its place."""
TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model", "*.tiktoken")


def token_counter(tokenizer: str) -> Callable[[str], int]:
    """A function from text to its number of tokens, start and end tokens included.

    Args:
        tokenizer: ``words`` (split at white space), ``clip`` (OpenAI's CLIP, vocabulary packaged in open_clip),
            ``bert`` (uncased WordPieces, as MiniLM, BLIP and BLIP-2 have them; packaged with MiniLM), or a folder or
            hub id that ``transformers.AutoTokenizer`` opens.

    Raises:
        MissingExtra: MiniLM's package is not installed.
        RecipeError: there is no such tokenizer.
    """
    if tokenizer == BACKBONE:
        raise RecipeError("modified_texts.tokenizer = 'backbone' was not resolved; load the recipe with load_recipe")
    if tokenizer == "words":
        return lambda text: len(text.split())
    if tokenizer == "clip":
        from open_clip.tokenizer import SimpleTokenizer

        clip = SimpleTokenizer()
        return lambda text: len(clip.encode(text)) + 2
    from transformers import AutoTokenizer

    folder = minilm_folder() if tokenizer == "bert" else tokenizer
    try:
        opened = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"modified_texts.tokenizer = {tokenizer!r} cannot be opened: {error}. "
            "It is 'backbone', 'words', 'clip', 'bert', a folder with a tokenizer, or a hub id"
        ) from error
    return lambda text: len(opened(text, truncation=False)["input_ids"])


def tokenizer_mark(tokenizer: str) -> str:
    """A hash of a local tokenizer's files; empty for the others, which their names identify."""
    folder = Path(tokenizer).expanduser()
    if not folder.is_dir():
        return ""
    files = {path for pattern in TOKENIZER_FILES for path in folder.glob(pattern) if path.is_file()}
    return files_fingerprint(files, folder)
