"""Processes of the sandbox: as whom they run, how a pid is told from another that got the same number, how they end."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

# A server that is told to stop quickly drops its clients and writes a checkpoint: seldom more than a second.
STOP_TIMEOUT_S = 20
POLL_S = 0.02


@cache
def account() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as when this process is root's (it refuses root); None: as this process."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return pwd.getpwuid(65534)


def start(command: Sequence[str | Path], *, cwd: Path, log: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    """A child as the server's account, in a session of its own: Ctrl-C in a terminal is for us, not for it."""
    user = account()
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )


def give(path: Path) -> None:
    """Make the server's account the owner of a path."""
    if user := account():
        os.chown(path, user.pw_uid, user.pw_gid)


def make_folder(folder: Path) -> None:
    """Make a folder, with those above it, that the server's account can reach whatever the umask says."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if account():
        for path in made:
            path.chmod(0o755)


def identity(pid: int) -> str | None:
    """What tells a living process from a later one with the same pid: when it started. None if it lives no more."""
    with contextlib.suppress(OSError, IndexError):
        # The name in the second field may hold blanks and brackets; the 22nd field is the start in ticks since boot.
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if after_name[0] != "Z":
            return f"{_boot_id()}/{after_name[19]}"
        return None
    if not Path("/proc/self/stat").exists():
        answer = subprocess.run(["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
        return answer.stdout.strip() or None
    return None


def end(pid: int, born: str, signals: Sequence[signal.Signals], reap: Callable[[], object] = lambda: None) -> bool:
    """End a process, asking with one signal after the other; nothing happens to another one that has its pid by now.

    `reap` collects it if it is a child. Returns whether it is gone.
    """
    for asked in signals:
        if identity(pid) != born:
            return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, asked)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while identity(pid) == born and time.monotonic() < deadline:
            reap()
            time.sleep(POLL_S)
    return identity(pid) != born


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
