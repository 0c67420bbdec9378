"""Product exports of shops, turned into the ``metadata.csv`` of the folder that holds their pictures.

Shopify has a line for each picture and variant of a product, WooCommerce a line for each product and variation with all
its pictures in one cell. Here each picture has one line: its title with the options that hold for it, and its product.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spn4cir_core.errors import InputError
from spn4cir_core.images.folder import picture_names
from spn4cir_core.images.folder_metadata import GROUP_COLUMN, VARIANT_COLUMN
from spn4cir_core.images.name_matching import match_names, several_names
from spn4cir_core.images.user_tables import as_text, read_table
from spn4cir_core.store.outputs import output_file

Shop = Literal["shopify", "woocommerce"]
OUT = "metadata.csv"
FIRST_COLUMNS = ("file", "title", GROUP_COLUMN, VARIANT_COLUMN, "category", "tags", "alt_text")
NO_OPTION = "default title"
"""Shopify's value of the option "Title" of a product that has no options."""
SHOPIFY = {
    "handle": ("handle", "url handle"),
    "title": ("title",),
    "category": ("type", "product category"),
    "tags": ("tags",),
    "picture": ("image src", "product image url"),
    "alt_text": ("image alt text",),
    "variant_picture": ("variant image", "variant image url"),
}
"""Field → its columns in exports before and since 2025, in lower case."""
Line = Mapping[str, str]


@dataclass
class Product:
    """A product with its pictures and variants."""

    title: str = ""
    category: str = ""
    tags: str = ""
    alt_texts: dict[str, str] = field(default_factory=dict)
    """Picture → its own alternative text; the keys are all pictures of the product."""
    variants: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Picture, empty where a variant has none of its own, and options of each variant."""

    def pictures(self) -> list[str]:
        """The names of all its pictures, in order."""
        return list(dict.fromkeys([*self.alt_texts, *(picture for picture, _ in self.variants if picture)]))

    def options_of(self, picture: str) -> dict[str, str]:
        """The options on which all variants with this picture agree; all variants, where none has it."""
        options = [options for own, options in self.variants if own == picture] or [own for _, own in self.variants]
        return {
            name: value for name, value in (options or [{}])[0].items() if all(o.get(name) == value for o in options)
        }


def import_shop(shop: Shop, files: Sequence[Path], out: Path) -> tuple[int, str]:
    """Write ``metadata.csv`` into the folder that holds a shop's pictures.

    Returns:
        Pictures that have a line, and what the export names but the folder does not hold; empty where nothing.

    Raises:
        InputError: an export cannot be read or is of another layout, no picture of it lies in the folder, or ``out`` is
            no ``metadata.csv``.
    """
    if out.name != OUT:
        raise InputError(f"cannot import a shop to {out}: the folder of its pictures holds a {OUT}; give DIR/{OUT}")
    products = {key: product for file in files for key, product in PRODUCTS_OF[shop](file, _lines(file)).items()}
    named = {name: (key, product) for key, product in products.items() for name in product.pictures()}
    folder = out.parent
    matched = match_names(named, sorted(picture_names(folder, (folder.resolve(),))) if folder.is_dir() else ())
    if not matched.path_of:
        raise InputError(f"{matched.hint() or f'{files[0]} names no picture'}. Put the shop's pictures below {folder}")
    rows = [_row(path, name, *named[name]) for name, path in sorted(matched.path_of.items(), key=lambda item: item[1])]
    _write(rows, out)
    return len(rows), matched.hint()


def shopify_products(path: Path, lines: Iterable[Line]) -> dict[str, Product]:
    """Products by handle; a line without one belongs to the product above it."""
    products: dict[str, Product] = {}
    names: dict[str, dict[int, str]] = {}
    handle = ""
    for line in lines:
        handle = _field(path, line, "handle") or handle or _field(path, line, "title")
        product, option_names = products.setdefault(handle, Product()), names.setdefault(handle, {})
        product.title = product.title or _field(path, line, "title")
        product.category = product.category or _leaf(_field(path, line, "category"))
        product.tags = product.tags or _field(path, line, "tags")
        if picture := _field(path, line, "picture"):
            product.alt_texts.setdefault(picture, _field(path, line, "alt_text"))
        option_names |= {number: name for number in (1, 2, 3) if (name := line.get(f"option{number} name", "").strip())}
        values = {number: line.get(f"option{number} value", "").strip() for number in option_names}
        options = {option_names[number]: value for number, value in values.items() if value}
        if options and NO_OPTION not in {value.lower() for value in options.values()}:
            product.variants.append((_field(path, line, "variant_picture"), options))
    return products


def woocommerce_products(path: Path, lines: Iterable[Line]) -> dict[str, Product]:
    """Products by SKU, or by ``id:`` and number; a variation belongs to its parent, which may stand below it."""
    known = list(lines)
    for line in known[:1]:
        if missing := {"name", "images"} - line.keys():
            raise _other_layout(path, min(missing), line)
    key_of = {f"id:{line.get('id', '')}": line.get("sku", "") or f"id:{line.get('id', '')}" for line in known}
    products: dict[str, Product] = {}
    for line in sorted(known, key=lambda line: line.get("parent", "") != ""):
        own = line.get("sku", "") or f"id:{line.get('id', '')}"
        parent = line.get("parent", "").strip()
        product = products.setdefault(key_of.get(parent, parent) or own, Product())
        product.title = product.title or line["name"]
        product.category = product.category or _leaf(line.get("categories", "").split(",")[0])
        product.tags = product.tags or line.get("tags", "")
        pictures = [name for name in several_names(line["images"]) if name]
        for picture in pictures:
            product.alt_texts.setdefault(picture, "")
        if options := _attributes(line):
            product.variants += [(picture, options) for picture in pictures or [""]] if parent else []
            if not parent and line.get("type", "simple") != "variable":
                product.variants.append(("", options))
    return products


PRODUCTS_OF = {"shopify": shopify_products, "woocommerce": woocommerce_products}


def _lines(path: Path) -> Iterator[Line]:
    try:
        for row in read_table(path):
            yield {column.strip().lower(): value for column, value in as_text(row).items()}
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}. Give the shop's export as CSV in UTF-8") from error


def _field(path: Path, line: Line, name: str) -> str:
    columns = [column for column in SHOPIFY[name] if column in line]
    if not columns and name in ("title", "picture"):
        raise _other_layout(path, SHOPIFY[name][0], line)
    return next((value for column in columns if (value := line[column].strip())), "")


def _other_layout(path: Path, column: str, line: Line) -> InputError:
    return InputError(f"{path} has no column {column!r}; it has {sorted(line)[:12]}. Export it with English columns")


def _attributes(line: Line) -> dict[str, str]:
    """The attributes of a line that have one value."""
    columns = {match[1]: name for name in line if (match := re.fullmatch(r"attribute (\d+) name", name))}
    pairs = [
        (line[name].strip(), line.get(f"attribute {number} value(s)", "").strip()) for number, name in columns.items()
    ]
    return {name: value for name, value in pairs if name and value and "," not in value}


def _leaf(category: str) -> str:
    return category.rpartition(">")[2].strip()


def _row(path: str, name: str, key: str, product: Product) -> dict[str, str]:
    options = product.options_of(name)
    unsaid = [f"{option}: {value}" for option, value in options.items() if value.lower() not in product.title.lower()]
    fixed = {
        "file": path,
        "title": ", ".join([product.title, *unsaid]),
        GROUP_COLUMN: key,
        VARIANT_COLUMN: ", ".join(options.values()),
        "category": product.category,
        "tags": product.tags,
        "alt_text": product.alt_texts.get(name, ""),
    }
    return {f"option {option}" if option in fixed else option: value for option, value in options.items()} | fixed


def _write(rows: list[dict[str, str]], out: Path) -> None:
    filled = {column for row in rows for column, value in row.items() if value}
    columns = [
        name for name in dict.fromkeys([*FIRST_COLUMNS, *(name for row in rows for name in row)]) if name in filled
    ]
    with output_file(out) as scratch, scratch.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
