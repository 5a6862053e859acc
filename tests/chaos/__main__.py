"""``python -m tests.chaos [scenario …] [--seconds 60] [--requests 500000] [--fuzz 100000] [--pipelines 200]
[--bodies 300] [--server gunicorn] [--lenient]``.

Without names: all of them, in the order below. Each prints its figures; the exit code says whether all checks passed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import traceback

from .report import Report, Size
from .scenarios import SCENARIOS


def main(argv: list[str]) -> int:
    """Run scenarios; 1 when a check failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", epilog=f"Scenarios: {', '.join(SCENARIOS)}.")
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each load")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--requests", type=int, default=500_000, help="of the soak")
    parser.add_argument("--fuzz", type=int, default=100_000, help="fuzzed requests")
    parser.add_argument("--pipelines", type=int, default=200, help="generated pipelines")
    parser.add_argument("--bodies", type=int, default=300, help="bodies that are made to be dear")
    parser.add_argument("--server", default="uvicorn", choices=["uvicorn", "gunicorn"], help="of dear and silence")
    parser.add_argument("--lenient", action="store_true", help="print latencies, check only correctness")
    args = parser.parse_args(argv)
    # Servers are ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sizes = args.seconds, args.rate, args.requests, args.fuzz, args.pipelines, args.bodies
    size = Size(*sizes, server=args.server, strict=not args.lenient)
    reports = [_run(name, size) for name in args.scenario or SCENARIOS]
    print()
    for report in reports:
        good = not report.failed and report.checks > 0
        print(
            f"{'pass' if good else 'FAIL'}  {report.name}: {report.checks - len(report.failed)}/{report.checks} checks"
        )
        for failure in report.failed:
            print(f"      {failure}")
    return 0 if all(not report.failed and report.checks for report in reports) else 1


def _run(name: str, size: Size) -> Report:
    report = Report(name)
    report.say((SCENARIOS[name].__doc__ or "").strip().splitlines()[0])
    try:
        SCENARIOS[name](report, size)
    except Exception as error:
        traceback.print_exc()
        report.check("ran to its end", False, repr(error)[:2000])
    return report


sys.exit(main(sys.argv[1:]))
