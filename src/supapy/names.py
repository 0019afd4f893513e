"""Names: safe paths for names that strangers chose, SQL quoting, the labels of backups, and words for people: numbers
with their nouns, a few names of many.

Object keys, bucket ids and table names come from the source and are hostile. A path made here never leaves its
folder, never collides with another (also where a file system folds case or Unicode forms), and stays the name itself
whenever the name is an ordinary one. No name is ever derived back from a path: the true one stands in the backup.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

# Bytes of one path component: file systems stop at 255, and a temp file's suffix must fit as well.
LONGEST_COMPONENT_BYTES = 180
# Bytes of one name's path below its folder: Linux stops at 4096, macOS at 1024, and what is above it counts as well.
LONGEST_PATH_BYTES = 700

# Enough to tell what is meant, where all names would make a message unreadable.
MOST_NAMED = 3

# Devices on Windows, with any suffix.
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|COM[0-9¹²³]|LPT[0-9¹²³])(?:\..*)?", re.IGNORECASE)
_UNSAFE = re.compile(r"""^[ ]|[%\\:*?"<>|/\x00-\x1f\x7f\ud800-\udfff]|[. ]+$""")
_NAME = re.compile(r'"(?:[^"]|"")*"|[^."]+')
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_LABEL = re.compile(r"backup_[0-9]{8}_[0-9]{6}")
_LABEL_TIME = "backup_%Y%m%d_%H%M%S"


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def component(name: str) -> str:
    """One safe path component for any text; an ordinary name stays as it is. It may be too long to be used."""
    if name == "":
        return "%empty"
    safe = _UNSAFE.sub(lambda match: _escaped(match[0]), name)
    return _escaped(safe[0]) + safe[1:] if _DEVICE.fullmatch(safe) else safe


def _path(pieces: Iterable[str]) -> str:
    """The path of one name by itself, before looking at its neighbours."""
    components = [component(piece) for piece in pieces]
    path = "/".join(components)
    if len(path.encode()) > LONGEST_PATH_BYTES or any(len(c.encode()) > LONGEST_COMPONENT_BYTES for c in components):
        return f"%long/{_digest(path)}"
    return path


def folded(path: str) -> str:
    """What a case- and form-insensitive file system makes of a path."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _apart(paths: list[str]) -> Iterator[str]:
    """The same paths, in order, changed where one is another's, or another's folder, so that no two meet."""
    folds = [folded(path) for path in paths]
    folders = {fold[: match.start()] for fold in folds for match in re.finditer("/", fold)}
    taken: set[str] = set()
    for path, fold in zip(paths, folds, strict=True):
        if fold in folders or fold in taken:
            yield f"%clash/{_digest(path)}"
        else:
            taken.add(fold)
            yield path


def object_paths(keys: Iterable[str]) -> Iterator[str]:
    """The path of each object key of one bucket, in the order given; slashes make folders."""
    return _apart([_path(key.split("/")) for key in keys])


def folder_names(names: Iterable[str]) -> Iterator[str]:
    """The folder of each name (a bucket's id), in the order given."""
    return _apart([_path([name]) for name in names])


def table_files(tables: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The file of each (schema, table): "<table>.json" in public, "<schema>.<table>.json" elsewhere."""
    names = (table if schema == "public" else f"{schema}.{table}" for schema, table in tables)
    return (f"{path}.json" for path in _apart([_path([name]) for name in names]))


def quoted(identifier: str) -> str:
    """An SQL identifier, always in quotes."""
    return '"' + identifier.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    """A schema-qualified SQL identifier."""
    return f"{quoted(schema)}.{quoted(name)}"


def plain_name(schema: str, name: str) -> str:
    """A schema-qualified identifier with quotes only where they are needed: `public."My Table"`."""
    return ".".join(one if _PLAIN.fullmatch(one) else quoted(one) for one in (schema, name))


def unquoted(text: str) -> list[str]:
    """The names in an identifier that PostgreSQL printed, quoted where need be: `public."My Table"`."""
    return [quotes[1:-1].replace('""', '"') if quotes.startswith('"') else quotes for quotes in _NAME.findall(text)]


def literal(text: str | None) -> str:
    """An SQL string literal that reads the same whatever `standard_conforming_strings` says."""
    if text is None:
        return "NULL"
    body = text.replace("'", "''")
    return "E'" + body.replace("\\", "\\\\") + "'" if "\\" in body else f"'{body}'"


def label_at(moment: datetime) -> str:
    """The label of a backup begun at that time (UTC, whole seconds)."""
    return moment.astimezone(UTC).strftime(_LABEL_TIME)


def label_time(label: str) -> datetime | None:
    """When a label says its backup was begun; None when it isn't a label."""
    if not _LABEL.fullmatch(label):
        return None
    try:
        return datetime.strptime(label, _LABEL_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def few(names: Iterable[str], most: int = MOST_NAMED) -> str:
    """The first of some names, and how many there are besides: "a, b, c and 2 more"."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most:,} more" if len(listed) > most else "")


def many(number: int, one: str, more: str | None = None) -> str:
    """A number with its noun: 1 file, 1,126 files."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"
