"""Executors that end what dead runs have left, say what a run waits for, and at its end what it has done."""

from __future__ import annotations

import atexit
import os
import platform
import sys
import time
from collections.abc import Iterator

import dagster as dg
from dagster import InitExecutorContext
from dagster._core.errors import DagsterExecutionInterruptedError, raise_execution_interrupts
from dagster._core.events import EngineEventData
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.context.system import PlanExecutionContext, PlanOrchestrationContext
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.execute_plan import inner_plan_execution_iterator
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.step_dependency_config import StepDependencyConfig
from dagster._core.executor.in_process import InProcessExecutor
from typing_extensions import override

from dagster_project.resources import Pipeline
from dagster_project.run_outcome import RunOutcome
from dagster_project.run_processes import MACHINE, end_dead_runs, slot_holders, started_process

LOOK_EVERY_S = 1.0
"""How often a run that waits for a slot of a pool looks whether one is free."""


def watched(executor: dg.ExecutorDefinition, pipeline: Pipeline) -> dg.ExecutorDefinition:
    """The same executor, watched: a :class:`WatchedExecutor` around what it makes."""

    def create(context: InitExecutorContext) -> dg.Executor:
        assert executor.executor_creation_fn is not None
        made = executor.executor_creation_fn(context)
        if isinstance(made, InProcessExecutor):
            made = OneProcessExecutor(made.retries, made.step_dependency_config)
        return WatchedExecutor(made, pipeline)

    return dg.ExecutorDefinition(
        name=executor.name,
        config_schema=executor.config_schema,  # type: ignore[arg-type]  # what is converted already stays as it is
        requirements=executor.get_requirements,
        executor_creation_fn=create,
        description=executor.description,
    )


class WatchedExecutor(dg.Executor):
    """Runs steps as another executor does.

    Before the first it ends the runs whose process is gone, whose pool slots this one would wait for; while a step
    waits, the log names the run that has the slot; after the last it says what was computed and what was up to date.
    The process's last line is the error of a step that failed.
    """

    def __init__(self, executor: dg.Executor, pipeline: Pipeline) -> None:
        self.executor, self.pipeline = executor, pipeline

    @property
    @override
    def retries(self) -> RetryMode:
        return self.executor.retries

    @property
    @override
    def step_dependency_config(self) -> StepDependencyConfig:
        return self.executor.step_dependency_config

    @override
    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        instance, log = plan_context.instance, plan_context.log
        instance.add_run_tags(plan_context.run_id, {MACHINE: platform.node()})
        end_dead_runs(instance)
        outcome = RunOutcome(plan_context.job.get_definition().asset_layer.selected_asset_keys)
        log.info(outcome.beginning())
        try:
            for event in self.executor.execute(plan_context, execution_plan):
                outcome.add(event)
                if pool := blocking_pool(event):
                    log.warning(waits_for(plan_context, str(event.step_key), pool))
                yield event
        except (KeyboardInterrupt, DagsterExecutionInterruptedError):
            log.warning("interrupted. What is finished is kept: run the same again, and it goes on from there.")
            raise
        log.info(outcome.end(self.pipeline))
        if error := outcome.error():  # Dagster prints two stacks and its own summary after this
            atexit.register(print, f"error: {error}", file=sys.stderr, flush=True)


def blocking_pool(event: dg.DagsterEvent) -> str:
    """The pool of whose slots the event says that a step waits for one; empty for any other event."""
    if event.event_type_value != dg.DagsterEventType.ENGINE_EVENT.value or not event.step_key:
        return ""
    pool = event.engine_event_data.metadata.get("pool")
    return str(pool.value) if pool else ""


def waits_for(plan_context: PlanOrchestrationContext, step_key: str, pool: str) -> str:
    """Says which runs hold the pool that a step waits for."""
    instance, holders = plan_context.instance, []
    for run_id in sorted(slot_holders(instance, pool) - {plan_context.run_id}):
        started = started_process(instance, run_id)
        holders.append(f"run {run_id[:8]}{f' (process {started[0]})' if started else ''}")
    by = f", held by {', '.join(holders)}" if holders else ""
    return f"{step_key} waits for a free slot of the pool {pool!r}{by}. It starts when that ends; Ctrl-C ends the wait."


class Slots(InstanceConcurrencyContext):
    """Pool slots for steps of this process. Waiting for one costs no computing, and Ctrl-C and TERM end it."""

    @override
    def interval_to_next_pending_claim_check(self) -> float:
        """Wait, where nothing else is to be done; 0 seconds are left after it.

        Raises:
            DagsterExecutionInterruptedError: the wait was interrupted.
        """
        with raise_execution_interrupts():
            time.sleep(LOOK_EVERY_S)
        end_dead_runs(self._instance)
        return 0.0


class OneProcessExecutor(InProcessExecutor):
    """Dagster's executor of all steps in one process, whose wait for a slot cannot be interrupted there."""

    @override
    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        data = EngineEventData.in_process(os.getpid(), execution_plan.step_keys_to_execute)
        yield dg.DagsterEvent.engine_event(plan_context, f"Executing steps in process (pid: {os.getpid()})", data)
        yield from ExecuteRunWithPlanIterable(
            execution_plan=plan_context.execution_plan,
            iterator=_in_turn,
            execution_context_manager=PlanExecutionContextManager(
                job=plan_context.job,
                retry_mode=plan_context.retry_mode,
                execution_plan=plan_context.execution_plan,
                run_config=plan_context.run_config,
                dagster_run=plan_context.dagster_run,
                instance=plan_context.instance,
                raise_on_error=plan_context.raise_on_error,
                output_capture=plan_context.output_capture,
                step_dependency_config=self.step_dependency_config,
            ),
        )


def _in_turn(job_context: PlanExecutionContext, execution_plan: ExecutionPlan) -> Iterator[dg.DagsterEvent]:
    with Slots(job_context.instance, job_context.dagster_run) as slots:
        yield from inner_plan_execution_iterator(job_context, execution_plan, slots)
