"""The command ``estimate``: the cost of a larger corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.operations.estimate import Cost, Rates, estimate, few_measured, load_rates, measured_corpus
from spn4cir_core.operations.requirements import missing_requirements
from spn4cir_core.reports.summary_page import duration, size

EXAMPLE = """
Run the recipe on a sample of some thousand pictures on the machine that is to do the work, then:

spn4cir estimate --for 1000000 --recipe shoes.toml

spn4cir estimate --for 1000000 --recipe shoes.toml --processes 4

docs/scale.md explains what the figures rest on.
"""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("estimate", epilog=EXAMPLE)(estimate_costs)


def estimate_costs(
    count: Annotated[int, typer.Option("--for", min=1, max=10**9, help="How many images.")] = 1_000_000,
    processes: Annotated[int, typer.Option("--processes", "--gpus", min=1, help="One per GPU, over all machines.")] = 1,
    rates: Annotated[Path | None, typer.Option(help="TOML file of another machine's rates.")] = None,
    recipe_name: RecipeOption = "",
    store: StoreOption = "store",
    images: ImagesOption = None,
) -> None:
    """Estimate time, memory and disk of each stage for a larger corpus, from what this store has measured."""
    recipe, opened_store = opened(recipe_name, store, images)
    for sentence in missing_requirements(recipe):
        typer.echo(sentence)
    costs = estimate(recipe, opened_store, count, processes, load_rates(rates) if rates else Rates())
    typer.echo(table(costs))
    if sentence := few_measured(measured_corpus(recipe, opened_store).images):
        typer.echo(sentence)


def table(costs: list[Cost]) -> str:
    """One aligned line per stage, and the sums; memory is what grows, beside some 1 to 2 GB of libraries and models."""
    lines = [("stage", "time", "memory", "disk", "rests on")]
    for cost in costs:
        time = "?" if cost.seconds is None else duration(cost.seconds)
        disk = "?" if cost.disk_bytes is None else size(cost.disk_bytes)
        lines.append((cost.stage, time, size(cost.memory_bytes), disk, cost.rests_on))
    known = [cost for cost in costs if cost.seconds is not None]
    unknown = len(costs) - len(known)
    lines.append(
        (
            "together",
            duration(sum(cost.seconds or 0 for cost in known)),
            f"≤ {size(max(cost.memory_bytes for cost in costs))}",
            size(sum(cost.disk_bytes or 0 for cost in costs)),
            f"and {unknown} stages of which nothing is known" if unknown else "",
        )
    )
    return "\n".join(f"{a:<19} {b:>14} {c:>10} {d:>10}  {e}".rstrip() for a, b, c, d, e in lines)
