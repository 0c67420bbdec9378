"""A trained network in a folder that needs none of this package: weights, graphs, a loader and a model card."""
