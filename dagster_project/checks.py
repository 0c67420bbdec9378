"""Checks a careful owner wants: cheap to compute, blocking where going on would waste training time."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from dagster_project.resources import Pipeline
from spn4cir_core.operations.checks import CHECKS, Check, RecipeArtifacts
from spn4cir_core.operations.findings import finding_of


def checks(prefix: Sequence[str]) -> list[dg.AssetChecksDefinition]:
    """Every check of the core as an asset check."""
    return [_asset_check(prefix, noun, check, blocking) for noun, check, blocking in CHECKS]


def _asset_check(prefix: Sequence[str], noun: str, check: Check, blocking: bool) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=dg.AssetKey([*prefix, noun]), name=check.__name__, description=check.__doc__, blocking=blocking
    )
    def run(pipeline: Pipeline) -> dg.AssetCheckResult:
        recipe, store = pipeline.load()
        finding = finding_of(check, RecipeArtifacts(recipe.name, store, recipe))
        metadata: dict[str, Any] = {"examples": finding.examples} if finding.examples else {}
        severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(
            passed=finding.passed, severity=severity, description=finding.says, metadata=metadata
        )

    return run
