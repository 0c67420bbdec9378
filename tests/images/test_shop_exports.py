# ruff: noqa: E501
from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from spn4cir_core.errors import InputError
from spn4cir_core.images.folder import Folder
from spn4cir_core.images.shop_exports import Shop, import_shop

SHOPIFY = """Handle,Title,Body (HTML),Type,Tags,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Image Src,Image Alt Text,Variant Image
tee,V-neck tee,<p>Soft.</p>,Shirts,"soft, cotton",Colour,Red,Size,S,https://cdn.example/files/tee-red.jpg?v=1,front,https://cdn.example/files/tee-red.jpg?v=1
tee,,,,,,Red,,M,https://cdn.example/files/tee-blue.jpg?v=1,,https://cdn.example/files/tee-red.jpg?v=1
tee,,,,,,Blue,,M,https://cdn.example/files/label.jpg?v=1,the label,https://cdn.example/files/tee-blue.jpg?v=1
mug,White mug,,Kitchen,,Title,Default Title,,,https://cdn.example/files/mug.png,,
gone,Sold out,,Kitchen,,Title,Default Title,,,https://cdn.example/files/gone.png,,
"""
SHOPIFY_NEW = """Title,URL handle,Product category,Type,Tags,Option1 name,Option1 value,Product image URL,Image alt text,Variant image URL
V-neck tee,tee,Apparel > Tops,,,Colour,Red,https://cdn.example/a/tee-red.jpg,,https://cdn.example/a/tee-red.jpg
,tee,,,,,Blue,https://cdn.example/a/tee-blue.jpg,,https://cdn.example/a/tee-blue.jpg
"""
WOOCOMMERCE = """ID,Type,SKU,Name,Categories,Tags,Images,Parent,Attribute 1 name,Attribute 1 value(s)
45,variation,,Hoodie - Red,,,https://shop.example/up/hoodie-red.jpg,id:44,Colour,Red
44,variable,HOOD,Hoodie,"Clothing > Hoodies, Sale",warm,"https://shop.example/up/hoodie-red.jpg, https://shop.example/up/hoodie-back.jpg",,Colour,"Blue, Red"
46,variation,HOOD-B,Hoodie - Blue,,,https://shop.example/up/hoodie-blue.jpg,HOOD,Colour,Blue
50,simple,CAP,Cap,Hats,,https://shop.example/up/cap.jpg,,Material,Wool
"""


def imported(tmp_path: Path, shop: Shop, text: str, *pictures: str) -> tuple[dict[str, dict[str, str]], str]:
    """The metadata that a run on the folder reads, by picture, and what was not there."""
    for name in pictures:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "products.csv").write_text(text, encoding="utf-8")
    rows, missing = import_shop(shop, [tmp_path / "export" / "products.csv"], tmp_path / "metadata.csv")
    files = {file.path: {"group": file.group, **file.attributes} for file in Folder(folder=tmp_path).files(tmp_path)}
    assert rows == sum("title" in row for row in files.values())
    return files, missing


def test_shopify_gives_each_picture_its_title_options_and_product(tmp_path: Path) -> None:
    pictures = ("tees/tee-red.jpg", "tees/tee-blue.jpg", "label.jpg", "mug.png")
    files, missing = imported(tmp_path, "shopify", SHOPIFY, *pictures)
    assert {path: (row["title"], row["group"]) for path, row in files.items()} == {
        "label.jpg": ("V-neck tee", "tee"),
        "mug.png": ("White mug", "mug"),
        "tees/tee-blue.jpg": ("V-neck tee, Colour: Blue, Size: M", "tee"),
        "tees/tee-red.jpg": ("V-neck tee, Colour: Red", "tee"),
    }
    assert [row["variant"] for row in files.values()] == ["", "", "Blue, M", "Red"]
    assert files["tees/tee-red.jpg"]["Colour"] == "Red" and files["tees/tee-red.jpg"]["Size"] == ""
    assert (files["label.jpg"]["alt_text"], files["label.jpg"]["tags"]) == ("the label", "soft, cotton")
    assert missing.startswith("1 name of the table matches no picture, e.g. 'https://cdn.example/files/gone.png'")


def test_shopifys_newer_columns(tmp_path: Path) -> None:
    files, missing = imported(tmp_path, "shopify", SHOPIFY_NEW, "tee-red.jpg", "tee-blue.jpg")
    assert [row["title"] for row in files.values()] == ["V-neck tee, Colour: Blue", "V-neck tee, Colour: Red"]
    assert {row["category"] for row in files.values()} == {"Tops"} and not missing
    assert (tmp_path / "metadata.csv").read_text().splitlines()[0] == "file,title,group,variant,category,Colour"


def test_woocommerce_gives_variations_their_parents_group(tmp_path: Path) -> None:
    pictures = [f"{name}.jpg" for name in ("hoodie-red", "hoodie-blue", "hoodie-back", "cap")]
    files, missing = imported(tmp_path, "woocommerce", WOOCOMMERCE, *pictures)
    assert {path: (row["title"], row["group"], row["category"]) for path, row in files.items()} == {
        "cap.jpg": ("Cap, Material: Wool", "CAP", "Hats"),
        "hoodie-back.jpg": ("Hoodie", "HOOD", "Hoodies"),
        "hoodie-blue.jpg": ("Hoodie, Colour: Blue", "HOOD", "Hoodies"),
        "hoodie-red.jpg": ("Hoodie, Colour: Red", "HOOD", "Hoodies"),
    }
    assert not missing


@pytest.mark.parametrize(
    ("shop", "text", "out", "message"),
    [
        ("shopify", WOOCOMMERCE, "metadata.csv", "no column 'title'"),
        ("woocommerce", SHOPIFY, "metadata.csv", "no column 'images'"),
        ("shopify", SHOPIFY, "products.csv", r"DIR/metadata\.csv"),
        ("shopify", SHOPIFY, "metadata.csv", "match no picture"),
        ("shopify", "", "metadata.csv", "names no picture"),
        ("shopify", SHOPIFY, "none/metadata.csv", "match no picture"),
    ],
)
def test_what_cannot_be_imported_says_why(tmp_path: Path, shop: Shop, text: str, out: str, message: str) -> None:
    (tmp_path / "products_export.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        import_shop(shop, [tmp_path / "products_export.csv"], tmp_path / out)
