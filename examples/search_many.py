"""Answer the queries of a CSV file (columns image, text) and write the hits as another one.

python examples/search_many.py photos/ queries.csv hits.csv --store store --top 5
"""

from __future__ import annotations

import argparse

import pandas as pd

import spn4cir_core as spn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", help="pictures; the model was trained by: spn4cir run --images FOLDER")
parser.add_argument("queries", help="a CSV file with the columns image and text; either may be empty")
parser.add_argument("hits", help="the CSV file to write")
parser.add_argument("--store", default="store")
parser.add_argument("--top", type=int, default=5)
arguments = parser.parse_args()

searcher = spn.open_searcher(spn.load_recipe(images=arguments.folder), arguments.store)
queries = pd.read_csv(arguments.queries, keep_default_na=False)
images = [image or None for image in queries["image"]]
answers = searcher.search_many(images, list(queries["text"]), arguments.top)
rows = [
    {"query": number, "rank": hit.rank + 1, "score": round(hit.score, 4), "path": hit.path, "caption": hit.caption}
    for number, hits in enumerate(answers)
    for hit in hits
]
pd.DataFrame(rows).to_csv(arguments.hits, index=False)
print(f"{len(rows)} hits of {len(queries)} queries in {arguments.hits}")
