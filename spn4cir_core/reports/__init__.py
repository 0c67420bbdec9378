"""Measured recalls in, `report.html` and its Markdown twin out.

Open `stage.py` first; `contents.py` has all that the report states, `page.py` renders it.
"""
