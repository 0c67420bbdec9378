"""Encode a folder of pictures with a trained model and search the vectors in an index of your own.

python examples/vectors_into_your_own_index.py photos/ --store store --image photos/a.jpg --text "but red"
"""

from __future__ import annotations

import argparse
from pathlib import Path

import faiss

import spn4cir_core as spn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path, help="pictures; the model was trained by: spn4cir run --images FOLDER")
parser.add_argument("--store", default="store")
parser.add_argument("--image", required=True, help="the reference image")
parser.add_argument("--text", required=True, help="the modified text")
arguments = parser.parse_args()

recipe = spn.load_recipe(images=arguments.folder)
encoder = spn.open_encoder(recipe, arguments.store)
names = spn.read_table(recipe, arguments.store, "images", columns=["path"])["path"].to_pylist()
paths = [arguments.folder / name for name in names]
targets_ND = encoder.encode_targets(paths)
index = faiss.IndexFlatIP(encoder.dim)
index.add(targets_ND)

query_1D = encoder.encode_queries(arguments.image, arguments.text)
scores, rows = index.search(query_1D, min(5, len(paths)))
for score, row in zip(scores[0], rows[0], strict=True):
    print(f"{score:.3f}  {paths[row]}")
