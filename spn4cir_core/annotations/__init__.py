"""Annotation files that a corpus brings along in, annotated triplets and composed queries by image id out.

Open `stage.py` first; `import_annotations.py` turns published layouts into our files.
"""
