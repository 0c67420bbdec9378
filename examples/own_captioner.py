"""A captioner of your own: one class, named in a recipe as ``kind = "own_captioner:MainColour"``.

PYTHONPATH=examples python examples/own_captioner.py photos/ --store store_of_colours
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

import spn4cir_core as spn
from spn4cir_core.captions.base import Captioner, ToCaption
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.fingerprints import fingerprint

COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (220, 30, 30),
    "green": (30, 160, 30),
    "blue": (30, 30, 220),
    "yellow": (240, 220, 40),
}


class MainColour(Captioner):
    """Names the colour that lies nearest to the picture's mean: "a mostly red picture"."""

    plugin_version: ClassVar[int] = 1
    """Raised when this code is edited: captions are then made again."""
    words: str = "a mostly {colour} picture"
    """A setting of the recipe."""

    def fingerprint(self, files: ImageFiles) -> str:
        """All that decides a caption besides the picture: settings and version. A changed one captions anew."""
        return fingerprint(self)

    def prompt(self, image: ToCaption) -> str:
        """The request sent with the picture; this captioner needs none."""
        return ""

    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str]]:
        """Load what is heavy, and return the function that captions a batch of upright RGB pictures."""
        names, values = list(COLOURS), np.array(list(COLOURS.values()))

        def caption(images: Sequence[ToCaption], pictures: Sequence[Image.Image]) -> list[str]:
            means = [np.asarray(picture).reshape(-1, 3).mean(axis=0) for picture in pictures]
            nearest = [int(np.linalg.norm(values - mean, axis=1).argmin()) for mean in means]
            return [self.words.format(colour=names[number]) for number in nearest]

        return caption


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="pictures to caption")
    parser.add_argument("--store", default="store_of_colours")
    arguments = parser.parse_args()
    captioner = {"captions": {"captioner": {"kind": "own_captioner:MainColour"}}}
    recipe = spn.load_recipe(overrides=captioner, images=arguments.folder)
    spn.run(recipe, arguments.store, ["images", "captions"])
    print(spn.read_table(recipe, arguments.store, "captions", columns=["image_id", "caption"]).to_pandas().head(10))
