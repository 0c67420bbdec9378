"""Artefacts on disk or in a bucket: atomic writes, fingerprints, checksums, locks.

Open `artifacts.py` first.
"""
