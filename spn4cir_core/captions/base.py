"""The contract of captioners, and the table of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from spn4cir_core.captions.readings import Reading
from spn4cir_core.engine.plugins import Plugin, Room
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.lite0_levels import Lite0Levels

REFUSED = "the model's processor refuses the picture"
"""Name of a captioner's count, and reason of the drops: too narrow, say, for the patches that a model cuts."""


@dataclass(frozen=True)
class ToCaption:
    """One picture to caption."""

    image_id: str
    path: str
    """Relative to the image root, POSIX style."""
    pixel_sha256: str
    category: str
    """Empty where the corpus has no categories."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """The corpus's metadata of the picture."""
    features: np.ndarray | None = field(default=None, compare=False)
    """What the captioner's trunk reads of it, where it has one."""
    colour: str = field(default="", compare=False)
    """Its main colour where that was named beside the reading of the picture."""
    worked_out: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """What captioners have read of its metadata, under keys of their own, so that they need not read it again. A copy
    with other metadata begins anew."""


class Captioner(Plugin):
    """Writes one caption per image. Settings are fields; :meth:`start` loads what is heavy."""

    @property
    def sees(self) -> bool:
        """Whether it looks at the pictures. Otherwise no picture is opened, and it gets None instead."""
        return True

    def opens(self, image: ToCaption) -> bool:
        """Whether it looks at this picture; by default :attr:`sees`."""
        return self.sees

    def trunk_for(self, image: ToCaption) -> Lite0Levels | None:
        """The network whose features of this picture it reads, kept in the store and shared; by default None."""
        return None

    def names_colour(self, image: ToCaption) -> bool:
        """Whether its caption hangs on the main colour and the trunk's features alone.

        The colour may then be named while other pictures are computed, and it gets no more of the picture than its
        trunk sees.
        """
        return False

    def for_corpus(self, images: Sequence[ToCaption], files: ImageFiles) -> Captioner:
        """The captioner with what only the corpus as a whole decides; by default itself.

        Raises:
            InputError: nothing could caption these pictures.
        """
        return self

    def is_answer(self, image: ToCaption) -> bool:
        """Whether a model answers, whose wrapping ``clean_answers`` takes off, and not a person's title."""
        return True

    def origin(self, image: ToCaption) -> str:
        """Where this picture's caption comes from, for the artefact; by default the captioner's kind."""
        return self.plugin_kind

    def for_uploads(self) -> Captioner | None:
        """What captions a picture that is searched with and is not of the corpus, while a person waits; None: nothing.

        By default nothing: a model that writes sentences takes too long.
        """
        return None

    def metadata_columns(self) -> tuple[str, ...]:
        """The columns of the metadata that it reads; by default none."""
        return ()

    @abstractmethod
    def fingerprint(self, files: ImageFiles) -> str:
        """Hash of all that decides a caption besides the picture and its prompt: weights, settings, side files.

        Raises:
            InputError: a model folder or side file is missing.
        """

    @abstractmethod
    def prompt(self, image: ToCaption) -> str:
        """The request made for one image; empty where the captioner takes none."""

    def row_key(self, image: ToCaption) -> str:
        """Key of one stored caption, beside :meth:`fingerprint`: the picture's pixels and its prompt."""
        return f"{image.pixel_sha256} {self.prompt(image)}"

    def readings(self, images: Sequence[ToCaption], captions: Sequence[str]) -> list[Sequence[Reading]]:
        """What else each picture may be called, with its probability; none where the captioner does not say.

        Args:
            images: with the features of :meth:`trunk_for`.
            captions: as they were written.
        """
        return [() for _ in images]

    @abstractmethod
    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], Sequence[str | None]]:
        """Load the model and return the function that captions a batch (images upright, RGB).

        The function returns one string per image: ``""`` where it has no caption, None where it failed and is asked
        again when captions are next written; both are counted as drops. If it has an attribute ``counts``, a mapping of
        names to numbers, the artefact's details get it.
        """


CAPTIONERS = Room(
    "captioner",
    {
        "auto": "spn4cir_core.captions.auto:Auto",
        "blip": "spn4cir_core.captions.blip:Blip",
        "blip2": "spn4cir_core.captions.blip:Blip2",
        "endpoint": "spn4cir_core.captions.endpoint:Endpoint",
        "florence2": "spn4cir_core.captions.florence2:Florence2",
        "llava": "spn4cir_core.captions.vlm:Llava",
        "sidecar": "spn4cir_core.captions.sidecar:Sidecar",
        "tags": "spn4cir_core.captions.tags:Tags",
        "vlm": "spn4cir_core.captions.vlm:Vlm",
    },
)
