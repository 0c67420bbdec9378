"""Captions and vectors of a folder by steps that are Ray jobs, with one and two processes each. Prints Markdown.

    python -m benchmarks.ray_steps --images DIR --processes 1 2      # from the repository's root; needs the extra [ray]

Recipe ``folder``: the network sees each picture once, for tags, vectors and training inputs. *Directly* is
`spn4cir run` of the same stages; all begin with a new store. A step's time is Dagster's, from its start to its end;
what it computed is what the artefact says. A Ray head of two processors is started on this machine.
"""

from __future__ import annotations

import argparse
import os
import secrets
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ["SPN4CIR_GPUS"] = "0"  # before the definitions are loaded: a step that asks for one would wait for ever

import dagster as dg

from benchmarks.dagster_overhead import ROOT, cost
from benchmarks.grow_corpus import line
from spn4cir_core.store.artifacts import Store
from tests.dagster_project.executed_jobs import FEATURES, features, shipped_instance
from tests.pipelines import toml_of


def computed(store: Path) -> dict[str, float]:
    """Stage → seconds that its artefact took."""
    made = {name: Store(store).current("ray_steps", name) for name in FEATURES}
    return {name: sum(artifact.summary["seconds"].values()) for name, artifact in made.items() if artifact}


def by_ray(folder: Path) -> dict[str, float]:
    """Stage → seconds of its step, and of the whole run under an empty name, as the environment says it.

    In a process of its own: definitions read the environment once.
    """
    started = time.perf_counter()
    with shipped_instance(folder) as instance:
        result = dg.execute_job(dg.reconstructable(features), instance)
        assert result.success
        steps = {
            stats.step_key: stats.end_time - stats.start_time for stats in instance.get_run_step_stats(result.run_id)
        }
    return {**steps, "": time.perf_counter() - started}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    os.environ.update(PYTHONPATH=str(ROOT), RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    head = ray.init(num_cpus=2, include_dashboard=True, log_to_driver=False)
    line("way", *(f"{name}: step s (computing s)" for name in FEATURES), "all, s")
    line("---", *["---"] * len(FEATURES), "---")
    with tempfile.TemporaryDirectory(prefix="spn4cir-ray-") as name:
        folder = Path(name)
        recipe = folder / "ray_steps.toml"
        reader = {"kind": "folder", "folder": str(given.images.absolute())}
        tables = {"base": "folder", "name": "ray_steps", "images": {"reader": reader}}
        recipe.write_text(toml_of(tables), encoding="utf-8")
        words = ["-c", "from spn4cir_core.cli.app import main; main()", "run", "--select", ",".join(FEATURES)]
        for processes in given.processes:
            store = folder / f"direct{processes}"
            options = ["--recipe", str(recipe), "--store", str(store), "--processes", str(processes)]
            wall_s, _ = cost([*words, *options], OMP_NUM_THREADS="1")
            spent = computed(store)
            line(f"directly, {processes}", *(f"({spent[name]:.1f})" for name in FEATURES), f"{wall_s:.1f}")
        for processes in given.processes:
            store = folder / f"ray{processes}"
            environment = {
                "RAY_API_SERVER_ADDRESS": f"http://{head.dashboard_url}",
                "SPN4CIR_EXECUTOR": "ray",
                "SPN4CIR_PROCESSES": str(processes),
                "SPN4CIR_RECIPE": str(recipe),
                "SPN4CIR_STORE": str(store),
            }
            os.environ.update(environment)
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                steps = pool.submit(by_ray, folder / f"home{processes}").result()
            spent = computed(store)
            line(
                f"Ray, {processes}",
                *(f"{steps[name]:.1f} ({spent[name]:.1f})" for name in FEATURES),
                f"{steps['']:.1f}",
            )
    ray.shutdown()


if __name__ == "__main__":
    main()
