"""``python -m …environments.conda_rattler '<json>'``: solve conda packages and install them, with py-rattler.

A program of its own, so that a build can be killed, and so that the output is the build log. JSON: ``prefix``,
``specs``, ``channels``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


async def install(config: dict[str, Any]) -> int:
    """Solve, say what was chosen, install; the exit code."""
    from rattler import Gateway, Platform, VirtualPackage, solve
    from rattler import install as link

    platforms = [Platform.current(), Platform("noarch")]
    print(f"Solving {', '.join(config['specs'])} from {', '.join(config['channels'])}", flush=True)
    try:
        records = await solve(
            sources=config["channels"],
            specs=config["specs"],
            gateway=Gateway(),
            platforms=platforms,
            virtual_packages=VirtualPackage.detect(),
        )
        print(f"Resolved {len(records)} packages", flush=True)
        for record in records:
            print(f" + {record.name.normalized} {record.version} {record.build}", flush=True)
        await link(records=records, target_prefix=config["prefix"], show_progress=False)
    except Exception as error:  # rattler has one kind for each step, and one sentence in each
        print(f"error: {' '.join(str(error).split())}", flush=True)
        return 1
    print(f"Installed {len(records)} packages", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(install(json.loads(sys.argv[1]))))
