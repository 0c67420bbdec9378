"""One of several processes that train the tiny recipe. Usage: RANK=… WORLD_SIZE=… train_together.py STORE SETTINGS."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from conftest import tiny_recipe

from spn4cir_core.engine.processes import Processes
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.stages import CANDIDATE_BANK, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT

if __name__ == "__main__":
    store, recipe = Store(sys.argv[1]), tiny_recipe(**json.loads(sys.argv[2]))
    with Processes.started() as processes:
        for stage in (STAGE1_CHECKPOINT, CANDIDATE_BANK, STAGE2_CHECKPOINT):
            stage.run(recipe, store, processes=processes)
