"""The commands, so that asking for one, or for help, loads nothing that the others need."""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Bring every stage up to date; what is already there is not computed again."),
    "search": ("search", "Search with a reference image and a text; prints the hits and writes a contact sheet."),
    "example": ("search", "Ask one of the corpus's held-out composed queries and mark the right answers."),
    "serve": ("serve", "Open a search page: choose or upload a picture, say what should change, look at the hits."),
    "status": ("status", "Say of each stage whether it is up to date, and if not, why."),
    "summary": (
        "summary",
        "Write a page on what each stage made and cost, what was reused, which checks hold, what would run and why.",
    ),
    "recipes": ("recipes", "List the packaged recipes."),
    "images": (
        "images",
        "Count the pictures of a corpus; --dropped lists the files that are not used: path, reason, detail.",
    ),
    "import": (
        "triplets",
        "Turn annotated triplets (FashionIQ, CIRR …) or a shop's product export into the file that a folder holds.",
    ),
    "export": (
        "triplets",
        "Write triplets as FashionIQ or CIRR have them, as CSV, or with pictures as a Hugging Face data set.",
    ),
    "triplets": (
        "triplets",
        "Write a page of triplets to look through; bad ones are marked there and fed back as triplets.verdicts.",
    ),
    "judgements": ("judgements", "What people judged on the search page: list, export, import."),
    "queries": (
        "evaluation",
        "Draft composed queries for a person to correct; put into the corpus's folder, they are what is measured.",
    ),
    "submit": (
        "evaluation",
        "Write the files that the servers of CIRR (test1) and CIRCO (test) score, or check one of them.",
    ),
    "score": ("evaluation", "Score prediction files of CIRCO or CIRR as the benchmark's server does, on this machine."),
    "compare": (
        "evaluation",
        "Compare runs query by query: recall, paired differences, queries won and lost. The first one is the baseline.",
    ),
    "dimensions": (
        "evaluation",
        "Whether vectors as long as the network's, or twice as long, could place every wanted answer first.",
    ),
    "negatives": (
        "training",
        "How many of the hardest candidates are false negatives, by miner and rank, as far as the recipe's rules know.",
    ),
    "soup": (
        "training",
        "Average stage-1 checkpoints of several trainings, greedily by the recipe's validation queries.",
    ),
    "tensorboard": (
        "training",
        "Write the trainings' metrics as TensorBoard event files; also of one under way, up to its last kept step.",
    ),
    "export-model": (
        "model_export",
        "Write a trained network as a folder that needs torch and none of this package; search.py in it searches.",
    ),
    "vectors": (
        "vectors",
        "Put the search index's vectors into LanceDB, pgvector or FAISS; later only what has changed since.",
    ),
    "ablate": ("ablate", "Run every combination of a grid's levels, with every seed, and compare them in one table."),
    "estimate": (
        "estimate",
        "Estimate time, memory and disk of each stage for a larger corpus, from what this store has measured.",
    ),
    "doctor": (
        "doctor",
        "Check packages, GPU, disk, store and Dagster's home, and print cures; status 1 if something is broken.",
    ),
    "dagster-home": (
        "dagster",
        "Make the folder in which Dagster keeps its runs, with our settings, and print its path.",
    ),
    "ui": (
        "dagster",
        "Open Dagster's UI and daemon (Ctrl-C ends them); options are those of `dagster dev`, for example --port 3001.",
    ),
}
"""Command → its module in this room, and the first paragraph of its docstring."""
