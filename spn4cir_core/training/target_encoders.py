"""What becomes of the target encoder in stage 2: frozen with its bank, or slowly following the query encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from spn4cir_core.engine.plugins import Plugin

if TYPE_CHECKING:
    pass


class TargetEncoder(Plugin):
    """How the target encoder of stage 2 moves."""


class FrozenTarget(TargetEncoder):
    """Not at all, as published. Embedding the bank anew would give the same vectors, so it is never done."""

    plugin_kind: ClassVar[str] = "frozen"


class FollowingTarget(TargetEncoder):
    """After each step ``target = momentum · target + (1 − momentum) · query`` for what the two had in common (MoCo's
    key encoder, He et al. 2020), and every so often the bank is embedded anew.

    Helps where stage 1 was short and the targets themselves should still move. Hurts where the bank teaches the
    shortcut of the text: the targets then follow. Between two refreshes the bank is a little behind.
    """

    plugin_kind: ClassVar[str] = "following"
    momentum: float = Field(default=0.999, gt=0, lt=1)
    refresh_every_epochs: float = Field(default=1.0, gt=0)
