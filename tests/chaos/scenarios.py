"""All scenarios by name, in the order in which they run."""

from __future__ import annotations

from .adoption import adopted, ended, orphaned, rolled
from .change import changed_config, moved_stage, new_versions
from .crashes import killed_leader, killed_workers_of_one, killed_workers_of_two
from .dear import dear
from .endpoints import shadowed, split_on_two_hosts, updated
from .fuzz import fuzzed
from .loops import crash_loops, guilty_requests
from .loss import lost_workers
from .neighbours import generated_pipelines
from .oddities import clock_jumps, killed_zygotes, stopped_worker, two_servers
from .overload import full_queue, large_bodies, slow_clients, slow_model
from .report import Scenario
from .request_logs import request_log, request_log_away
from .silence import silent_crowd
from .sleepers import hog, woken
from .smoke import smoke
from .soak import soaked
from .storage import corrupt_files, database_away, disk_full
from .streams import streams

SCENARIOS: dict[str, Scenario] = {
    "smoke": smoke,
    "workers-2": killed_workers_of_two,
    "workers-1": killed_workers_of_one,
    "leader": killed_leader,
    "adopted": adopted,
    "rolled": rolled,
    "orphaned": orphaned,
    "ended": ended,
    "stage": moved_stage,
    "config": changed_config,
    "versions": new_versions,
    "updates": updated,
    "shadows": shadowed,
    "two-hosts": split_on_two_hosts,
    "zygotes": killed_zygotes,
    "stopped": stopped_worker,
    "two-servers": two_servers,
    "clock": clock_jumps,
    "woken": woken,
    "hog": hog,
    "guilty": guilty_requests,
    "loops": crash_loops,
    "loss": lost_workers,
    "database": database_away,
    "disk": disk_full,
    "files": corrupt_files,
    "request-log": request_log,
    "request-log-away": request_log_away,
    "slow-model": slow_model,
    "full-queue": full_queue,
    "large-bodies": large_bodies,
    "slow-clients": slow_clients,
    "streams": streams,
    "dear": dear,
    "silence": silent_crowd,
    "pipelines": generated_pipelines,
    "fuzz": fuzzed,
    "soak": soaked,
}
