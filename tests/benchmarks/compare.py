"""Measure this product against ``mlflow models serve``, MLServer, Ray Serve and BentoML, in one run.

``python tests/benchmarks/compare.py`` installs the peers in environments of their own, runs one server at a time
on the same models and bodies, prints a table with ratios and checks the budgets. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from comparison import machine, report
from comparison.budgets import Run, budgets
from comparison.load import ensure_wrk
from comparison.measure import Measured, begin, install, measure, say
from comparison.peers import select
from comparison.plan import Plan
from comparison.samples import save_samples
from comparison.venvs import default_cache


def main() -> None:
    """The command."""
    arguments = _arguments()
    # Servers are stopped in ``finally``, also when a service manager or a CI job ends this command.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plan = Plan.quick() if arguments.quick else Plan()
    about = machine.describe(ensure_wrk())
    say(f"{about['cores']} cores, {about['processor']}, Python {about['python']}, wrk {about['wrk']}")
    measured: list[Measured] = []
    began = time.monotonic()
    try:
        _measure_all(arguments, plan, measured)
    finally:
        about["minutes"] = round((time.monotonic() - began) / 60, 1)
        about["load_average_at_end"] = os.getloadavg()[0]
        _report(arguments, plan, about, Run(measured))


def _measure_all(arguments: argparse.Namespace, plan: Plan, measured: list[Measured]) -> None:
    peers = select(arguments.peers)
    measured += [begin(peer) for peer in peers]
    say("installing …")
    for peer, result in zip(peers, measured, strict=True):
        install(peer, arguments.cache, result)
    directory = Path(tempfile.mkdtemp(prefix="mlsb-models-"))
    try:
        say("saving the models …")
        samples = save_samples(directory)
        for peer, result in zip(peers, measured, strict=True):
            if result.unavailable is None:
                measure(peer, samples, plan, result)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _report(arguments: argparse.Namespace, plan: Plan, about: dict[str, Any], run: Run) -> None:
    tables = [
        report.load_table(run, plan.connections),
        report.server_table(run),
        report.further_table(run),
        report.budget_table(run),
    ]
    for table in tables:
        print("\n" + report.as_text(table), flush=True)
    if arguments.json:
        checked = [{**budget.__dict__, "met": budget.met} for budget in budgets(run)]
        servers = [server.as_dict() for server in run.servers]
        result = {"machine": about, "plan": plan.__dict__, "servers": servers, "budgets": checked}
        arguments.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if arguments.markdown:
        head = (
            f"Measured {about['date']} on {about['cores']} cores ({about['processor']}), Python {about['python']}, "
            f"wrk {about['wrk']} on the same cores{', --quick' if arguments.quick else ''}."
        )
        arguments.markdown.write_text("\n\n".join([head, *map(report.as_markdown, tables)]) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short loads, no 256 connections, no 16 MB")
    parser.add_argument("--peers", help="only these, by comma: stock, mlserver, ray, bentoml, native, mlflow, …")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where the peers' environments are kept")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file")
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
