"""Looking after a store: what changed, what is wrong, what it costs (`changes.py`, `checks.py`, `doctor.py`,
`estimate.py`, `run_summary.py`).
"""
