"""Calibrated channels in, one score per image out: a sum with weights that are fitted without annotation.

Open `stage.py` first; `blend.py` fits the weights, `fitted.py` applies them.
"""
