from __future__ import annotations

from typing import Any

from spn4cir_core.reports.galleries import SHOWN_HITS, near_duplicate_gallery


class Named:
    """Tiles that are names alone."""

    def tile(self, image_id: str, **more: Any) -> dict[str, Any]:
        return {"image_id": image_id}


def groups(links: list[tuple[str, str]], count: int) -> list[tuple[int, list[str]]]:
    gallery = near_duplicate_gallery(links, count, Named())  # type: ignore[arg-type]
    return [(group["images"], [tile["image_id"] for tile in group["shown"]]) for group in gallery]


def test_the_largest_groups_of_near_duplicates_come_first() -> None:
    links = [("y", "z"), ("b", "a"), ("d", "e"), ("c", "b")]
    assert groups(links, 2) == [(3, ["a", "b", "c"]), (2, ["d", "e"])]
    assert groups(links, 9)[2:] == [(2, ["y", "z"])]
    assert groups(links, 0) == groups([], 5) == []


def test_of_a_large_group_the_first_images_are_shown() -> None:
    chain = [(f"{number:02d}", f"{number + 1:02d}") for number in range(20)]
    assert groups(chain, 3) == [(21, [f"{number:02d}" for number in range(SHOWN_HITS)])]
