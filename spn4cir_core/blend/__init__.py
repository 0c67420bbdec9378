"""Calibrated channels in, one score per image out: a sum with weights that are fitted without annotation.

Open `stage.py` first; `fit_blend.py` fits the weights, `missing_captions.py` what pictures without a caption
are worth; `blend.py` scores, `fitted.py` is what is stored.
"""
