"""What a run has done, in a few lines at its end: what was up to date, what was computed, where the report is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import dagster as dg

from dagster_project.materialization import STATE_KEY, UP_TO_DATE
from dagster_project.resources import Pipeline
from spn4cir_core.errors import Spn4cirError
from spn4cir_core.flow import STAGES, outdated

PAGE = "report.html"


@dataclass
class RunOutcome:
    """Collected from the run's events."""

    selected: Collection[dg.AssetKey]
    """The assets of the run; the last part of a key is the stage's name."""
    reused: dict[str, bool] = field(default_factory=dict)
    """Stage → whether its artefact was already there."""
    failed: dict[str, str] = field(default_factory=dict)
    """Stage that has failed → why, in one line."""
    failed_checks: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The stages of the run, in the order of the flow."""
        selected = {key.path[-1] for key in self.selected}
        return [name for name in STAGES if name in selected]

    def beginning(self) -> str:
        """What is to be looked at."""
        return f"looking at: {', '.join(self.names)}"

    def add(self, event: dg.DagsterEvent) -> None:
        """Take note of one event of the run."""
        kind = event.event_type_value
        if kind == dg.DagsterEventType.ASSET_MATERIALIZATION.value and event.asset_key:
            state = event.step_materialization_data.materialization.metadata.get(STATE_KEY)
            self.reused[event.asset_key.path[-1]] = state is not None and state.value == UP_TO_DATE
        elif kind == dg.DagsterEventType.ASSET_CHECK_EVALUATION.value:
            evaluation = event.asset_check_evaluation_data
            if not evaluation.passed:
                self.failed_checks.append(f"{evaluation.check_name} of {evaluation.asset_key.path[-1]}")
        elif event.is_step_failure and event.step_key:
            self.failed[event.step_key.rpartition("__")[2]] = _why(event)

    def end(self, pipeline: Pipeline) -> str:
        """The lines: one for each state that stages are in, and the report's path."""
        late, report = _now(pipeline)
        lines = {
            "up to date": [name for name in self.names if self.reused.get(name) and name not in late],
            "computed": [name for name in self.names if self.reused.get(name) is False],
            "failed": [name for name in self.names if name in self.failed],
            "failed check": self.failed_checks,
            "would run": self._late([name for name in late if name not in self.failed]),
            "report": [report] if report else [],
        }
        return "\n".join(["done", *(f"{title + ':':<14}{', '.join(names)}" for title, names in lines.items() if names)])

    def error(self) -> str:
        """One line on what failed, each reason once with the stages that gave it; empty where nothing did."""
        names: dict[str, list[str]] = {}
        for name, why in self.failed.items():
            names.setdefault(why, []).append(name)
        return "; ".join(f"{', '.join(failed)}: {why}" for why, failed in names.items())

    def _late(self, late: list[str]) -> list[str]:
        """This run's stages by name, and the number of others."""
        others = len(set(late) - set(self.names))
        words = [name for name in late if name in self.names] + ([f"{others} not selected"] if others else [])
        return [*words[:-1], f"{words[-1]} (why: spn4cir status)"] if words else []


def _why(event: dg.DagsterEvent) -> str:
    """What a step says of its failure, else the class and message of the innermost error."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return " ".join(data.user_failure_data.description.split())
    error = data.error
    while error and error.cause:
        error = error.cause
    return " ".join(error.message.split()) if error else "no reason is known"


def _now(pipeline: Pipeline) -> tuple[list[str], str]:
    """The stages that would run now, and the path of the report; nothing where the recipe cannot be read."""
    try:
        recipe, store = pipeline.load()
        late = list(outdated(recipe, store))
    except Spn4cirError:
        return [], ""
    report = store.current(recipe.name, "eval_report")
    return late, f"{report.location}/{PAGE}" if report and PAGE in report.summary["files"] else ""
