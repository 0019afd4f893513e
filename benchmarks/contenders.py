"""One piece of work, done once by one contender, in a process of its own: `contenders.py NAME URL FOLDER NUMBER`.

Prints the seconds it took, without the interpreter's start, and the most memory the process ever held, in MB. The bare
ones are aiohttp and nothing else: what a careful person writes in an afternoon.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import resource
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path

import aiohttp
from server import ETAG, SMALL

from supapy.back_up import back_up
from supapy.catalog import Catalog
from supapy.choice import Choice
from supapy.cli.main import OBJECTS_BETWEEN_COLLECTIONS
from supapy.loop import side_by_side
from supapy.model import Item, Piece
from supapy.project.http import Http
from supapy.project.project import Project
from supapy.project.saying import TUS_PIECE_BYTES, Said
from supapy.project.storage_api import StorageApi
from supapy.secret import Secret
from supapy.store.local import LocalStore

AT_ONCE = 32
OBJECTS = "/storage/v1/object"
UPLOADS = "/storage/v1/upload/resumable"
ABOUT = {"format": 1, "source": {}, "timestamp": ""}


async def bare_download(url: str, folder: Path, number: int) -> None:
    """Each object into a file of its own, synced, by 32 workers. The syncs go to threads: that is faster."""
    folder.mkdir()
    numbers = iter(range(number))

    def keep(name: str, body: bytes) -> None:
        with (folder / name).open("xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

        async def work() -> None:
            for one in numbers:
                async with session.get(f"{url}{OBJECTS}/authenticated/files/4k-{one}") as answer:
                    await asyncio.to_thread(keep, f"4k-{one}", await answer.read())

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def bare_upload(url: str, folder: Path, number: int) -> None:
    """Each file in one request, by 32 workers."""
    numbers = iter(range(number))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

        async def work() -> None:
            for one in numbers:
                body = (folder / f"4k-{one}").read_bytes()
                async with session.post(f"{url}{OBJECTS}/files/4k-{one}", data=body) as answer:
                    await answer.read()

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def bare_upload_large(url: str, folder: Path, number: int) -> None:
    """One file in the pieces that TUS asks for."""
    named = ",".join(f"{key} {base64.b64encode(b'x').decode()}" for key in ("bucketName", "objectName"))
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(number), "Upload-Metadata": named}
    async with aiohttp.ClientSession() as session:
        async with session.post(url + UPLOADS, headers=tus) as created:
            place = f"{url}{UPLOADS}/{created.headers['Location'].rpartition('/')[2]}"
        with (folder / "large").open("rb") as file:
            while piece := file.read(TUS_PIECE_BYTES):
                at = {"Upload-Offset": str(file.tell() - len(piece)), "Content-Type": "application/offset+octet-stream"}
                async with session.patch(place, data=piece, headers=tus | at) as answer:
                    await answer.read()


def bare(work: Callable[..., object]) -> Callable[[str, Path, int], None]:
    """Run one of the above."""
    return lambda url, folder, number: asyncio.run(work(url, folder, number))  # type: ignore[arg-type]


def download(url: str, folder: Path, number: int) -> None:
    """supapy: a draft takes the objects, and is committed."""
    names = (f"4k-{one}" for one in range(number))
    _save(url, folder, lambda api: (_item(api, name, len(SMALL), ETAG) for name in names))


def download_large(url: str, folder: Path, number: int) -> None:
    """supapy: the same with one object of that many bytes."""
    _save(url, folder, lambda api: iter([_item(api, f"{number}-bytes", number, None)]))


def _save(url: str, folder: Path, items: Callable[[StorageApi], Iterator[Item]]) -> None:
    http = Http(url, Secret("key"), at_once=AT_ONCE)
    try:
        with Catalog(LocalStore(folder)).draft(loop=http.loop) as draft:
            draft.take_all(items(StorageApi(http)), AT_ONCE)
            draft.commit(ABOUT | {"label": draft.label})
    finally:
        http.close()


def _item(api: StorageApi, name: str, size: int, md5: str | None) -> Item:
    async def open_() -> AsyncGenerator[Piece, None]:
        async with aclosing(api.download("files", name, md5, size)) as pieces:
            async for piece in pieces:
                yield piece

    return Item("storage", f"files/{name}", f"storage/files/{name}", open_, size=size, md5=md5, fingerprint=name)


def upload(url: str, folder: Path, number: int) -> None:
    """supapy: files of a store go up."""
    _send(url, folder, ((f"4k-{one}", len(SMALL)) for one in range(number)))


def upload_large(url: str, folder: Path, number: int) -> None:
    """supapy: one file goes up, in pieces."""
    _send(url, folder, [("large", number)])


def _send(url: str, folder: Path, files: Iterable[tuple[str, int]]) -> None:
    # A restore knows the sizes from the manifest.
    http, store = Http(url, Secret("key"), at_once=AT_ONCE), LocalStore(folder)
    api = StorageApi(http)

    async def send(file: tuple[str, int]) -> None:
        name, size = file
        await api.upload("files", name, partial(store.get, name), size, Said("a/b", "no-cache"))

    try:
        side_by_side(http.loop, files, send, lambda _: None, at_once=AT_ONCE)
    finally:
        http.close()


def back_up_files(url: str, folder: Path, number: int) -> None:
    """supapy: a whole backup of a project's files. The database's address comes from standard input."""
    db_url = Secret(sys.stdin.readline().strip())
    with Project(url, Secret("sb_secret_bench"), db_url, at_once=AT_ONCE) as project:
        backup = back_up(project, Catalog(LocalStore(folder)), Choice(database=False, auth=False))
    assert backup.metadata["problems"] == 0


WORK: dict[str, Callable[[str, Path, int], None]] = {
    "bare-download": bare(bare_download),
    "bare-upload": bare(bare_upload),
    "bare-upload-large": bare(bare_upload_large),
    "download": download,
    "download-large": download_large,
    "upload": upload,
    "upload-large": upload_large,
    "back-up": back_up_files,
}


def main() -> None:
    """Do the work named on the command line."""
    name, url, folder, number = sys.argv[1:]
    if not name.startswith("bare"):
        # As the command itself begins.
        gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    begun = time.perf_counter()
    WORK[name](url, Path(folder), int(number))
    seconds = time.perf_counter() - begun
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
