"""A project as the sensor watches it: folders of pictures, a template bank, annotations, a recipe over them."""

from __future__ import annotations

import shutil
from pathlib import Path

from spn4cir_core.images.shapes import Shapes
from tests.pipelines import tiny_recipe_file

BANK = '[sets]\nmine = ["m1"]\n\n[[template]]\nid = "m1"\ntext = "{text}"\n'


class WatchedProject:
    """Corpora ``first`` (to train on) and ``asked`` (evaluated on); the pictures of another one are ``waiting``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.corpora = folder, folder / "corpora"
        self.recipe, self.bank, self.queries = folder / "tiny.toml", folder / "bank.toml", Path()
        drawn = Shapes(scenes=10, edits=4, test_scenes=4, seed=3).root(folder / "drawn")
        self.waiting = Shapes(scenes=3, edits=4, test_scenes=1, seed=4).root(folder / "drawn") / "scenes"
        shutil.copytree(drawn / "scenes", self.corpora / "first")
        shutil.copytree(drawn / "unseen_scenes", self.corpora / "asked")
        self.queries = self.corpora / "asked" / "queries.csv"
        (self.corpora / "asked" / "metadata.csv").write_text(
            "file,split\n" + "".join(f"{path.name},test\n" for path in (self.corpora / "asked").glob("*.png"))
        )
        self.edit_bank("now {added}")
        self.edit_recipe()

    def edit_bank(self, text: str) -> None:
        self.bank.write_text(BANK.replace("{text}", text), encoding="utf-8")

    def edit_recipe(self, draws: int = 100) -> None:
        reader = {"kind": "folder", "folder": str(self.corpora), "subdirectories": "corpora", "split_column": "split"}
        templates = {"bank": str(self.bank), "use": ["mine"]}
        report = {"bootstrap_draws": draws, "gallery_pictures": 2}
        images = {"reader": reader, "workers": 1}
        tiny_recipe_file(self.folder, images=images, templates=templates, eval_report=report)

    def drop_a_query(self) -> None:
        """Edit the annotation file: its last line goes."""
        self.queries.write_text("\n".join(self.queries.read_text().splitlines()[:-1]) + "\n")
