"""Triplets in, checkpoints of query and target encoders out: stage 1, its longer control, the candidate bank, stage 2.
Open `stages.py` first; `train_stage.py` is the one loop.
"""
