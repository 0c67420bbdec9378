"""The launched process: one of those that run a stage together; its rank 0 reports to Dagster through Pipes."""

from __future__ import annotations

import logging

from dagster_pipes import open_dagster_pipes

from spn4cir_core.engine.log_level import set_log_level
from spn4cir_core.engine.progress import Throttled
from spn4cir_core.launch.worker import accountable, rank, read_order


def main() -> None:
    """Entry point of ``python -m dagster_project.worker``."""
    order = read_order()
    set_log_level()
    with accountable(order.folder):
        if rank():
            order.run()
            return
        with open_dagster_pipes() as pipes:
            logging.getLogger("spn4cir_core").addHandler(pipes.log.handlers[0])
            artifact, reused = order.run(Throttled(pipes.log.info))
            pipes.report_custom_message({"fingerprint": artifact.fingerprint, "reused": reused})


if __name__ == "__main__":
    main()
