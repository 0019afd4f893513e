"""A realistic app in a project: what the demo backs up, and what a rehearsal can start from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from importlib.resources import files

from supapy.loop import side_by_side
from supapy.project.project import Project
from supapy.project.saying import Said
from supapy.secret import Secret

# A user whose password is known, so that a restored project can be asked to sign him in.
EMAIL = "user1@example.com"
PASSWORD = "demo password 1"  # noqa: S105
PHOTOS = 1105
LARGE_FILE_BYTES = 20_000_000

# Names that the Storage server takes and that aren't names of files everywhere (F§1.3).
AWKWARD_KEYS = (
    "a",
    "a/b",
    "a/",
    "A",
    "CON.txt",
    "with blanks/and (symbols) & more, v2!.txt",
    "it's = 100$;+@:?*.txt",
    "double//slash.txt",
    "/leading.txt",
    "trailing ",
    "dots...",
    "empty.bin",
)


def fill(project: Project) -> None:
    """Make the app in an empty project: its schema, some thousand rows and users, more than 1,100 files."""
    here = files(__name__)
    with project.session() as session:
        session.execute("SET search_path = public, extensions")
        for script in ("schema.sql", "rows.sql"):
            session.execute((here / script).read_text(encoding="utf-8"))
        side_by_side(project.loop, _uploads(), partial(_upload, project), lambda _: None, at_once=project.at_once)
        session.execute((here / "objects.sql").read_text(encoding="utf-8"))


def can_sign_in(project: Project) -> bool:
    """Whether a user of the app signs in with the password he has always had."""
    return project.auth.can_sign_in(EMAIL, Secret(PASSWORD))


def _uploads() -> Iterator[tuple[str, str, bytes, str]]:
    """Bucket, key, content and type of every file."""
    for n in range(1, PHOTOS + 1):
        yield "photos", f"trip/IMG_{n:04d}.jpg", _noise(f"photo {n}", 200 + n % 1500), "image/jpeg"
    for key in AWKWARD_KEYS:
        yield "documents", key, b"" if key == "empty.bin" else f"content of {key}".encode(), "text/plain"
    yield "documents", "page.html", b"<!doctype html><title>A page</title>", "text/html"
    yield "documents", "video.bin", _noise("video", LARGE_FILE_BYTES), "application/octet-stream"
    yield "maps", "plan of the town.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"


def _noise(seed: str, size: int) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(size)


async def _upload(project: Project, upload: tuple[str, str, bytes, str]) -> None:
    bucket, key, content, mimetype = upload
    await project.storage.upload(
        bucket,
        key,
        lambda start, end: iter([content[start:end]]),
        len(content),
        Said(mimetype, "max-age=3600"),
    )
