"""A recipe and its store in, answers for its operator out.

`changes.py` (what is out of date and why), `checks.py` (asset checks), `doctor.py` (faults and cures), `estimate.py`
(cost of a larger corpus), `run_summary.py` (what a run did).
"""
