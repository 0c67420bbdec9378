"""One file per asset, named after the artefact it makes."""
