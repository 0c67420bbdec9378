from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from spn4cir_core.backbones.small.settings import Small
from spn4cir_core.search.encoder import Encoder
from spn4cir_core.training.embed_candidates import embed_targets


def test_vectors_do_not_depend_on_the_number_of_threads() -> None:
    """Of a width at which the last bits of a library's products do."""
    random = np.random.default_rng(0)
    network = Small(dim=256).build(["make it red", "a blue circle"], 0)
    pictures = [Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(100)]
    inputs = network.read_images(pictures)

    def made(threads: int) -> list[bytes]:
        torch.set_num_threads(threads)
        encoder = Encoder(network)
        vectors = [
            embed_targets(network, inputs, "cpu"),
            encoder.encode_targets(pictures),
            encoder.encode_queries(pictures[:50], "make it red"),
            encoder.encode_queries(pictures[0], "a blue circle"),
        ]
        assert torch.get_num_threads() == threads
        return [some.tobytes() for some in vectors]

    assert made(1) == made(2) == made(4)
