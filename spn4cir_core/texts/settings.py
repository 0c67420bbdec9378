"""Settings of the ``templates`` and ``modified_texts`` stages."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from spn4cir_core.engine.plugins import Choice, Settings
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.store.fingerprints import OmitFromFingerprint
from spn4cir_core.texts.base import REWRITERS, Rewriter


class TemplateSettings(Settings):
    """Which template bank, and which of its sets."""

    bank: Annotated[str, OmitFromFingerprint()] = "builtin"
    """Path of a bank file (TOML), or ``builtin``."""
    use: tuple[str, ...] = ("difference",)
    """Names of sets in the bank, or ids of single templates."""

    @override
    def missing(self) -> Iterable[str]:
        """The bank's file."""
        path = Path(self.bank).expanduser()
        return () if self.bank == "builtin" or path.is_file() else (f"bank: no file at {path}",)


class ModifiedTextSettings(Settings):
    """How a template is filled for a pair."""

    per_pair: int = Field(default=1, ge=1)
    """Texts kept per pair; each time the triplet is drawn, one of them is."""
    choose: Literal["random", "all"] = "random"
    """``random``: ``per_pair`` templates drawn per pair; ``all``: every template (the published CIRR choice)."""
    max_tokens: int = Field(default=77, ge=4)
    tokenizer: str = "words"
    """The counter of a text's length: ``words``, ``clip``, ``bert``, or a path or hub id of a tokenizer.
    ``backbone`` stands for that of stage 1's backbone, with its limit if ``max_tokens`` is not given or higher."""
    rewriter: Annotated[Rewriter, Choice(REWRITERS)] | None = None
    """A language model that writes one text per pair; None: the templates alone."""
    template_texts: Literal["fallback", "beside"] = "fallback"
    """With a rewriter: the templates' texts only where its answer cannot be used, or as alternatives beside it."""
    batch_rows: Annotated[int, OmitFromFingerprint()] = Field(default=16, ge=1)
    """Pairs that the rewriter is given at a time; a few times ``concurrency`` for an endpoint."""
    shard_rows: Annotated[int, OmitFromFingerprint()] = Field(default=512, ge=1)
    readers: Annotated[int, OmitFromFingerprint()] = Field(default=2, ge=1)

    @override
    def extras(self) -> tuple[str, ...]:
        return ("offline",) if self.tokenizer == "bert" else ()

    def read_by(self, tokenizer: str, limit: int) -> ModifiedTextSettings:
        """These settings with the backbone's own tokenizer and limit in place of ``tokenizer = "backbone"``."""
        given = self.max_tokens if "max_tokens" in self.model_fields_set else limit
        return self.model_copy(update={"tokenizer": tokenizer, "max_tokens": min(given, limit)})


class TemplatesInput(Settings):
    """The tables of a recipe that this stage reads."""

    templates: TemplateSettings


class ModifiedTextsInput(Settings):
    """The tables of a recipe that this stage reads."""

    modified_texts: ModifiedTextSettings
    images: ImageSettings
    seed: int
