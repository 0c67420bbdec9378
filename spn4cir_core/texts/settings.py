"""Settings of the ``templates`` and ``modified_texts`` stages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spn4cir_core.fingerprints import NotFingerprinted
from spn4cir_core.plugins import Settings


class TemplateSettings(Settings):
    """Which template bank, and which of its sets."""

    bank: Annotated[str, NotFingerprinted()] = "builtin"
    """Path of a bank file (TOML), or ``builtin``."""
    use: tuple[str, ...] = ("difference",)
    """Names of sets in the bank, or ids of single templates."""


class ModifiedTextSettings(Settings):
    """How a template is filled for a pair."""

    per_pair: int = Field(default=1, ge=1)
    """Texts kept per pair; each time the triplet is drawn, one of them is."""
    choose: Literal["random", "all"] = "random"
    """``random``: ``per_pair`` templates drawn per pair; ``all``: every template (the published CIRR choice)."""
    max_tokens: int = Field(default=77, ge=4)
    tokenizer: str = "words"
    """``words``, ``clip``, or a path or hub id of a tokenizer: what decides that a text is too long."""
