"""Run the training stages up to one, in a process that a test kills. Usage: train_until_killed.py STORE STAGE."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from conftest import put_triplets, tiny_recipe

from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.stages import CANDIDATE_BANK, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT

if __name__ == "__main__":
    store = Store(sys.argv[1])
    schedule = {"steps": 60, "save_every_steps": 4}
    recipe = tiny_recipe(stage1=schedule, stage2=schedule)
    put_triplets(store, recipe)
    for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK, STAGE2_CHECKPOINT):
        stage.run(recipe, store)
        if stage.name == sys.argv[2]:
            break
