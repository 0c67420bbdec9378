from __future__ import annotations

from pathlib import Path

import numpy as np

from spn4cir_core.engine.progress import silent
from spn4cir_core.images.files import image_files
from spn4cir_core.reports.answers import answers_of
from spn4cir_core.reports.sources import Sources
from spn4cir_core.reports.stage import EVAL_REPORT
from spn4cir_core.training.roles import ROLES
from tests.measured_store import NAME, measured_store, recipe


def test_a_model_answers_alone_as_among_all_and_sources_are_those_of_the_parents(tmp_path: Path) -> None:
    store, made = measured_store(tmp_path), recipe(tmp_path / "pictures", evaluators=[{"kind": "annotated"}])
    settings, files = EVAL_REPORT.settings_of(made), image_files(made.images, store)
    current = {name: store.current(NAME, name) for name in EVAL_REPORT.parents}
    parents = {name: artifact for name, artifact in current.items() if artifact is not None}
    sources = Sources.read(settings, parents, files, store)
    models = {name: parents[role.artifact] for name, role in ROLES.items()}
    (among_all,) = answers_of(models, sources.query_sets, settings, parents, files, store, silent)
    stage2 = {"stage2": models["stage2"]}
    (alone,) = answers_of(stage2, sources.query_sets, settings, parents, files, store, silent)
    assert (among_all.models, alone.models) == (set(ROLES), {"stage2"})
    for key, ranks in alone.ranks.items():
        np.testing.assert_array_equal(ranks, among_all.ranks[key])
    assert alone.query_set == among_all.query_set == sources.query_sets[0]
    assert sources.lineage.keys() >= parents.keys()
    assert all(sources.lineage[name].fingerprint == artifact.fingerprint for name, artifact in parents.items())
