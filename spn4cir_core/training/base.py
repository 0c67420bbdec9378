"""Plug-in tables of training: orders of batches and averages of weights."""

from __future__ import annotations

from spn4cir_core.engine.plugins import Room

BATCH_ORDERS = Room(
    "batch order",
    {
        "random": "spn4cir_core.training.batch_orders:RandomBatches",
        "clustered": "spn4cir_core.training.batch_orders:Clustered",
        "same_category": "spn4cir_core.training.batch_orders:SameCategory",
        "same_reference": "spn4cir_core.training.batch_orders:SameReference",
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
