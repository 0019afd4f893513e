"""Making many files durable at once, where the operating system can."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

# On these syncfs does for every file what fsync does for one: what lies on disks of this machine. A network's file
# system may hand the pages on and never ask its server to keep them.
_WHOLE = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})


def can_sync_file_system(folder: int) -> bool:
    """Whether `sync_file_system` makes every file durable that lies where an open folder does; where not, only an
    fsync on each can be relied on."""
    return sys.platform.startswith("linux") and _kind(os.fstat(folder).st_dev) in _WHOLE


def sync_file_system(folder: int) -> None:
    """Make everything durable that was written to the file system of an open folder.

    Raises OSError when the disk refused something since the folder was opened (Linux 5.8 and later).
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.syncfs(folder) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def send_on_its_way(handle: int, start: int, end: int) -> None:
    """Let the bytes [start, end) of an open file go to the disk now, without waiting for it, where the system can be
    asked to. They needn't stay in memory then."""
    if sys.platform == "linux":
        os.posix_fadvise(handle, start, end - start, os.POSIX_FADV_DONTNEED)


def _kind(device: int) -> str:
    """The type of the file system on a device, as the kernel lists it; empty when it doesn't."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        mount, _, about = line.partition(" - ")
        if mount.split()[2] == wanted:
            return about.split()[0]
    return ""
