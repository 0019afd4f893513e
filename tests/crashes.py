"""What a disk may hold after a power cut: a model of it, fed by the syncs that a store really makes.

Whatever was written and not synced may be there, half there or missing, file by file and name by name. A name counts as
lasting once its folder was synced, bytes once their file was, and everything once the file system was.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from supapy.store.local import LocalStore
from supapy.store.memory import MemoryStore

Names = dict[int, dict[str, int]]
Contents = dict[int, bytes]


@dataclass
class Disk:
    """What is known of the tree below a root: folders' names and files' bytes, each by its inode."""

    names: Names = field(default_factory=dict)
    contents: Contents = field(default_factory=dict)

    def copy(self) -> Disk:
        return Disk({folder: dict(names) for folder, names in self.names.items()}, dict(self.contents))


@dataclass(frozen=True)
class Point:
    """A moment in which the power may go: what lasts for sure, and what was written by then."""

    lasting: Disk
    written: Disk


class Recorder:
    """Makes stores whose syncs it sees. `deaf` are the syncs that this disk says it did, and didn't."""

    def __init__(self, root: Path, *, deaf: frozenset[str] = frozenset()) -> None:
        self.points: list[Point] = []
        self._root = root
        self._deaf = deaf
        self._lasting = Disk()
        # An inode that is held open isn't given to another file.
        self._held = ExitStack()
        self._seen: set[int] = set()
        self._top = self._id(root)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def store(self, *, all_at_once: bool) -> LocalStore:
        return LocalStore(
            self._root, fsync=self._fsync, can_sync_all=lambda _: all_at_once, sync_all=lambda _: self._sync_all()
        )

    def note(self) -> None:
        """The power may go now."""
        self.points.append(Point(self._lasting.copy(), self._written()))

    def states(self, point: Point, number: int, chance: random.Random) -> Iterator[MemoryStore]:
        """Disks that may be found after a cut at that point: the four extremes, and so many others by chance."""
        first, last = lambda old, new: old, lambda old, new: new
        for of_names in (first, last):
            for of_bytes in (first, last):
                yield self._store(point, of_names, of_bytes)
        for _ in range(number):
            yield self._store(point, lambda old, new: chance.choice((old, new)), _torn(chance))

    def _store(
        self,
        point: Point,
        name: Callable[[int | None, int | None], int | None],
        content: Callable[[bytes, bytes], bytes],
    ) -> MemoryStore:
        store = MemoryStore()

        def walk(folder: int, path: str) -> None:
            old, new = point.lasting.names.get(folder, {}), point.written.names.get(folder, {})
            for one in sorted(old.keys() | new.keys()):
                inode = name(old.get(one), new.get(one))
                if inode is None:
                    continue
                if inode in point.written.names or inode in point.lasting.names:
                    walk(inode, f"{path}{one}/")
                    continue
                lasting = point.lasting.contents.get(inode, b"")
                store.put(path + one, [content(lasting, point.written.contents.get(inode, lasting))])

        walk(self._top, "")
        return store

    def _fsync(self, handle: int) -> None:
        self.note()
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if ("folder" if path.is_dir() else "file") not in self._deaf:
            inode = os.fstat(handle).st_ino
            written = self._written()
            for here, there in ((written.names, self._lasting.names), (written.contents, self._lasting.contents)):
                if inode in here:
                    there[inode] = here[inode]  # type: ignore[index]

    def _sync_all(self) -> None:
        self.note()
        if "all" not in self._deaf:
            self._lasting = self._written()

    def _written(self) -> Disk:
        disk = Disk()
        for folder, folders, files in os.walk(self._root):
            here = Path(folder)
            disk.names[self._id(here)] = {name: self._id(here / name) for name in (*folders, *files)}
            disk.contents |= {self._id(here / name): (here / name).read_bytes() for name in files}
        return disk

    def _id(self, path: Path) -> int:
        inode = path.stat().st_ino
        if inode not in self._seen:
            self._seen.add(inode)
            self._held.callback(os.close, os.open(path, os.O_RDONLY))
        return inode


def _torn(chance: random.Random) -> Callable[[bytes, bytes], bytes]:
    """Bytes that weren't synced may be there, in part, or as a gap; those that were stay."""
    return lambda old, new: new if old == new else chance.choice((old, new, new[: len(new) // 2], bytes(len(new))))
