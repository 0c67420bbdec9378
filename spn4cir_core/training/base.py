"""Plug-in tables of training: orders of batches, target encoders of stage 2, averages of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spn4cir_core.engine.plugins import Room

if TYPE_CHECKING:
    pass

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


BATCH_ORDERS = Room(
    "batch order",
    {
        "random": "spn4cir_core.training.batch_orders:RandomBatches",
        "clustered": "spn4cir_core.training.batch_orders:Clustered",
        "same_category": "spn4cir_core.training.batch_orders:SameCategory",
    },
)


TARGET_ENCODERS = Room(
    "target encoder",
    {
        "frozen": "spn4cir_core.training.target_encoders:FrozenTarget",
        "following": "spn4cir_core.training.target_encoders:FollowingTarget",
    },
)


WEIGHT_AVERAGES = Room(
    "weight average",
    {
        "none": "spn4cir_core.training.weight_averages:NoAverage",
        "moving": "spn4cir_core.training.weight_averages:Moving",
        "last": "spn4cir_core.training.weight_averages:LastCheckpoints",
    },
)
