"""The command that brings the stages up to date."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from spn4cir_core.cli.hints import with_options
from spn4cir_core.cli.options import (
    ImagesOption,
    MachineRankOption,
    MachinesOption,
    MainAddressOption,
    MainPortOption,
    ProcessesOption,
    RecipeOption,
    StoreOption,
    opened,
)
from spn4cir_core.cli.outcome import outcome, write_triplet_sheet
from spn4cir_core.cli.summary import page_of, write_pages
from spn4cir_core.engine.garbage_collection import seldom_collected
from spn4cir_core.engine.progress import shown
from spn4cir_core.flow import STAGES, outdated, selected
from spn4cir_core.launch.launcher import launch_from
from spn4cir_core.launch.recipe_source import claimed
from spn4cir_core.launch.run_flow import run
from spn4cir_core.operations.changes import UNKNOWN, late_above
from spn4cir_core.operations.estimate import record_run
from spn4cir_core.operations.requirements import check_requirements
from spn4cir_core.operations.run_summary import run_summary
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store

log = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("run")(run_stages)


def run_stages(
    recipe_name: RecipeOption = "",
    store_url: StoreOption = "store",
    images: ImagesOption = None,
    select: Annotated[
        str, typer.Option(help="Stages to run, separated by commas; triplets+: with all downstream; default: all.")
    ] = "",
    processes: ProcessesOption = None,
    machines: MachinesOption = None,
    machine_rank: MachineRankOption = None,
    main_address: MainAddressOption = None,
    main_port: MainPortOption = None,
) -> None:
    """Bring every stage up to date; what is already there is not computed again."""
    started = time.monotonic()
    launch = launch_from(
        {
            "processes": processes,
            "machines": machines,
            "machine_rank": machine_rank,
            "main_address": main_address,
            "main_port": main_port,
        }
    )
    recipe, store = opened(recipe_name, store_url, images)
    recipe = claimed(recipe, store)
    names = selected([name.strip() for name in select.split(",")]) if select else list(STAGES)
    check_requirements(recipe, store, names)
    late = outdated(recipe, store) if select else {}
    for name in sorted(late.keys() - set(names)):
        if late[name].unreadable:
            log.warning("%s: %s: %s", name, UNKNOWN, late[name].unreadable)
    above = late_above(names, late)
    reused = dict[str, bool]()

    def on_stage_done(artifact: Artifact, there: bool) -> None:
        reused[artifact.noun] = there
        _say(artifact, there, above.get(artifact.noun, []))

    with shown() as progress:
        artifacts = run(recipe, store, names, progress, on_stage_done, launch)
    if launch.machine_rank == 0:
        _show_pages(recipe, store, artifacts, reused)
        if len(reused) == len(STAGES) and not any(reused.values()):
            record_run(recipe, store, artifacts.values(), time.monotonic() - started)


@seldom_collected()
def _show_pages(recipe: Recipe, store: Store, artifacts: Mapping[str, Artifact], reused: Mapping[str, bool]) -> None:
    """Name the report; write the summary page anew if anything was computed, and name it."""
    page = page_of(recipe, store)
    if not all(reused.values()) or not page.is_file():
        write_pages(run_summary(recipe, store, reused), page)
        for line in outcome({name: artifact for name, artifact in artifacts.items() if not reused[name]}):
            typer.echo(with_options(line))
    sheet = page.with_name(f"{recipe.name}_triplets.jpg")
    is_new = "triplets" in artifacts and not (reused["triplets"] and sheet.is_file())
    if is_new and write_triplet_sheet(recipe, store, artifacts["triplets"], sheet):
        typer.echo(f"\ntriplets: {sheet}")
    if "eval_report" in artifacts:
        typer.echo(f"\nreport:  {artifacts['eval_report'].file('report.html')}")
    typer.echo(f"summary: {page}")


def _say(artifact: Artifact, reused: bool, above: Sequence[str]) -> None:
    drops = sum(artifact.summary["drops"].values())
    state = "up to date" if reused else f"{sum(artifact.summary['seconds'].values()):.1f} s"
    if above:
        state = f"{'' if reused else f'{state}; '}would run after {', '.join(above)}"
    typer.echo(f"{artifact.noun:<20} {artifact.summary['rows']:>9,} rows  {drops:>6,} dropped  {state}")
