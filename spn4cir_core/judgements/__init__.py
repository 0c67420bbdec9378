"""Judgements that people give on the hits of a search: kept in one file of the store, and read as annotations.

Open `judgement_log.py` first; `agreement.py` makes one answer of several judges, `judgement_files.py` annotation files.
"""
