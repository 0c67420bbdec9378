from __future__ import annotations

import pytest

from spn4cir_core.images.name_matching import match_names, several_names

PICTURES = ["tee/a.jpg", "tee/b.JPG", "hat/a.jpg", "hat/Größe 1.png", "c.jpeg", "d.jpg?v=1"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("tee/a.jpg", "tee/a.jpg"),
        ("./tee/a.jpg", "tee/a.jpg"),
        ("tee\\a.jpg", "tee/a.jpg"),
        (r"C:\shop\tee\a.jpg", "tee/a.jpg"),
        ("/data/shop/hat/a.jpg", "hat/a.jpg"),
        ("TEE/A.JPG", "tee/a.jpg"),
        ("tee/b.jpg", "tee/b.JPG"),
        ("b.jpg", "tee/b.JPG"),
        ("b", "tee/b.JPG"),
        ("c.jpg", "c.jpeg"),
        ("c.png", "c.jpeg"),
        ("hat/Gro\u0308ße 1.png", "hat/Größe 1.png"),
        ("Gr%C3%B6%C3%9Fe%201.png", "hat/Größe 1.png"),
        ("https://cdn.shop.example/s/files/1/b.jpg?v=1700000000&width=500", "tee/b.JPG"),
        ("d.jpg", "d.jpg?v=1"),
        ("a.jpg", ""),
        ("e.jpg", ""),
        ("../tee/b.JPG", ""),
        ("https://shop.example/", ""),
    ],
)
def test_a_name_is_matched_where_it_is_unambiguous(name: str, path: str) -> None:
    matched = match_names([name], PICTURES)
    assert matched.path_of.get(name, "") == path
    assert matched.missing == (() if path else (name,))


def test_no_two_names_share_a_picture() -> None:
    matched = match_names(["hat/1.jpg", "tee/1.jpg"], ["hat/1.jpg"])
    assert matched.path_of == {"hat/1.jpg": "hat/1.jpg"} and matched.missing == ("tee/1.jpg",)
    assert match_names(["x/2.jpg", "y/2.jpg"], ["hat/2.jpg"]).path_of == {}


def test_what_matches_nothing_is_counted_with_the_nearest() -> None:
    hint = match_names(["hats.jpg", "xyz.jpg"], ["hat.jpg", "shoe.jpg"]).hint()
    assert hint == "2 names of the table match no picture, e.g. 'hats.jpg'; the nearest picture is 'hat.jpg'"
    assert match_names(["hat.jpg"], ["hat.jpg"]).hint() == ""
    assert (
        match_names(["hat.jpg"], []).hint()
        == "1 name of the table matches no picture, e.g. 'hat.jpg'; there is no picture"
    )


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("a.jpg", ["a.jpg"]),
        ("a.jpg, b.png", ["a.jpg", "b.png"]),
        ("a.jpg|b.png|", ["a.jpg", "b.png"]),
        (
            "https://x.example/a.jpg?v=1, https://x.example/b.jpg",
            ["https://x.example/a.jpg?v=1", "https://x.example/b.jpg"],
        ),
        ('["a.jpg", "b.jpg"]', ["a.jpg", "b.jpg"]),
        ("shoe, red.jpg", ["shoe, red.jpg"]),
        ("[1] a.jpg", ["[1] a.jpg"]),
        ("", [""]),
    ],
)
def test_a_cell_may_list_several_pictures(cell: str, names: list[str]) -> None:
    assert several_names(cell) == names
