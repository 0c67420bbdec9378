"""The plug-in table of guards."""

from __future__ import annotations

from spn4cir_core.engine.plugins import Room

GUARDS = Room(
    "guard",
    {
        "near_duplicate": "spn4cir_core.negatives.guards:NearDuplicate",
        "annotated_target": "spn4cir_core.negatives.guards:AnnotatedTarget",
        "soft_target": "spn4cir_core.negatives.guards:SoftTarget",
        "same_text": "spn4cir_core.negatives.guards:SameText",
        "same_caption": "spn4cir_core.negatives.guards:SameCaption",
        "look_alike": "spn4cir_core.negatives.guards:LookAlike",
        "judge": "spn4cir_core.negatives.guards:JudgedAnswer",
    },
)
