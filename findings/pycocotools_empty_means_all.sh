#!/usr/bin/env bash
# Asked for the images of a category that does not exist, pycocotools gives all images.
# An empty list means "no filter", so a misspelt category or an empty selection is the whole data set.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: pycocotools==2.0.11 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import io
import sys
from importlib.metadata import version

from pycocotools.coco import COCO

print("pycocotools", version("pycocotools"))
coco = COCO()
coco.dataset = {
    "images": [{"id": number} for number in (1, 2, 3)],
    "annotations": [
        {"id": 10 + number, "image_id": number, "category_id": 1, "area": 1.0, "iscrowd": 0} for number in (1, 2, 3)
    ],
    "categories": [{"id": 1, "name": "umbrella"}],
}
with contextlib.redirect_stdout(io.StringIO()):
    coco.createIndex()
categories = coco.getCatIds(catNms=["umbrela"])
images, annotations = coco.getImgIds(catIds=categories), coco.getAnnIds(imgIds=[])
print(f"ids of the category 'umbrela': {categories}")
print(f"images of these categories: {sorted(images)}; annotations of no image: {annotations}")
sys.exit(not (categories == [] and sorted(images) == [1, 2, 3] and annotations == [11, 12, 13]))
PYTHON
