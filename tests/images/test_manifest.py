from __future__ import annotations

from typing import get_args

from spn4cir_core.annotations.annotation_tables import TRIPLET_SCHEMA, TripletColumn
from spn4cir_core.images.manifest import IMAGE_SCHEMA, PICTURE, Column


def test_the_names_that_readers_may_ask_for_are_the_columns_of_the_tables() -> None:
    assert list(get_args(Column)) == IMAGE_SCHEMA.names
    assert list(get_args(TripletColumn)) == TRIPLET_SCHEMA.names
    assert set(PICTURE) < set(IMAGE_SCHEMA.names)
