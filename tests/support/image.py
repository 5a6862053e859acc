"""The image of ``docker/Containerfile``, built and run by podman, which needs no engine that runs.

The base image is made of Debian's packages: the registry of images that the file names is not reached from everywhere.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

PROGRAMS = ("podman", "crun", "debootstrap", "tar", "unshare")
BASE = "localhost/python:debian"
_PACKAGES = "ca-certificates,python3,python3-pip,python3-venv"
_TRUSTING = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
_BUILD_S = 1200.0

# crun takes control groups of both versions at once for a mistake, as machines without systemd have them.
_APART = ("unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', "sh")


class Podman:
    """podman with images and containers of its own, gone with ``close``."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="mls-image-"))
        self._command = [
            *(*_APART, "podman", "--root", self._root / "images", "--runroot", self._root / "run"),
            *("--cgroup-manager=cgroupfs", "--events-backend=none"),
        ]

    def __call__(self, *words: str | Path, cwd: Path | None = None, ok: bool = True) -> str:
        """All that podman prints."""
        done = subprocess.run(
            [*self._command, *words],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_BUILD_S,
            check=False,
        )
        assert not ok or done.returncode == 0, f"podman {' '.join(map(str, words))}\n{done.stdout[-6000:]}"
        return done.stdout

    def start(self, log: Path, *words: str) -> subprocess.Popen[bytes]:
        """podman in the background."""
        with log.open("ab") as output:
            return subprocess.Popen([*self._command, *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def without_asking_for_rights(self) -> list[str]:
        """Options of ``run`` for machines where containers get no network, no control group and no higher limits."""
        files, processes = (resource.getrlimit(one)[1] for one in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
        limits = {"nofile": files, "nproc": processes}
        given = [
            f"--ulimit={name}={min(most, 8192)}" for name, most in limits.items() if most != resource.RLIM_INFINITY
        ]
        return ["--network=host", "--cgroups=disabled", "--no-healthcheck", *given]

    def make_base(self) -> None:
        """An image as ``python:slim``: Debian, and ``python`` and ``pip`` that may install into the system."""
        root = self._root / "base"
        suite = next(
            line.partition("=")[2]
            for line in Path("/etc/os-release").read_text().splitlines()
            if line.startswith("VERSION_CODENAME=")
        )
        made = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", suite, str(root)]
        done = subprocess.run(made, capture_output=True, text=True, timeout=_BUILD_S, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        changes = self._this_machine_s_way_to_packages(root)
        archive = self._root / "base.tar"
        subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
        self("import", *changes, archive, BASE)
        shutil.rmtree(root)
        archive.unlink()

    def _this_machine_s_way_to_packages(self, root: Path) -> list[str]:
        if Path("/etc/pip.conf").exists():
            shutil.copy("/etc/pip.conf", root / "etc/pip.conf")
        trusted = os.environ.get("SSL_CERT_FILE")
        if not trusted:
            return []
        shutil.copy(trusted, root / _CERTIFICATES)
        return [f"--change=ENV {name}=/{_CERTIFICATES}" for name in _TRUSTING]

    def close(self) -> None:
        """Remove all containers and images."""
        self("rm", "--all", "--force", "--volumes", ok=False)
        self("rmi", "--all", "--force", ok=False)
        shutil.rmtree(self._root, ignore_errors=True)
