"""Measured recalls in, `report.html` and its Markdown twin out.

Open `stage.py` first.
"""
