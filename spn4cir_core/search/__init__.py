"""A trained query encoder and an index in, ranked images for a reference image and a modified text out.

Open `search.py` first; `api.py` and `page.html` serve it.
"""
