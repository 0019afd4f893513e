"""The versions of extensions: a restore takes what its target has, and tells of those that differ (recipe §2)."""

from __future__ import annotations

from collections.abc import Iterator

from supapy.model import Omission
from supapy.names import literal, quoted, unquoted
from supapy.parts.database.inventory.contents import Contents
from supapy.parts.database.inventory.inventory import is_preinstalled
from supapy.parts.database.platform.platform import PREINSTALLED
from supapy.parts.database.rules.facts import Facts
from supapy.project.schema import Reader


def omissions(facts: Facts) -> Iterator[Omission]:
    """A word on each version that its own server would not give again today; the platform sees to its own."""
    for one in sorted(facts.extensions.values()):
        if one.usual and one.usual != one.version and one.name not in PREINSTALLED:
            yield _omission(one.name, one.version, f"even here that would be {one.usual}")


def other_versions(contents: Contents, reader: Reader) -> Iterator[Omission]:
    """What will be of another version in the target than it was; of a backup that doesn't say it, nothing."""
    there = dict(reader.rows(_VERSIONS))
    for title, said in sorted(contents.inventory.get("extensions", {}).items()):
        version, found = said.get("version"), there.get(title)
        if version and found and version != found and not is_preinstalled(title):
            yield _omission(unquoted(title.removeprefix(_TITLE))[0], version, f"that is {found} there")


def gone(contents: Contents, reader: Reader) -> set[str]:
    """The extensions of the backup that new projects come with, or came with once, and that this server hasn't."""
    there = dict(reader.rows(_VERSIONS))
    return {title for title in contents.inventory.get("extensions", {}) if is_preinstalled(title)} - there.keys()


def without(contents: Contents, reader: Reader) -> Iterator[Omission]:
    """A word on each of these."""
    for title in sorted(gone(contents, reader)):
        yield Omission("database", title, "The target's server has none of that name.")


def _omission(name: str, version: str, what: str) -> Omission:
    remedy = (
        f"A restore makes it of the version that its target gives: {what}. Where it must be this one, make it "
        f"in the target first: CREATE EXTENSION {quoted(name)} VERSION {literal(version)}."
    )
    return Omission("database", f"version {version} of extension {name}", remedy)


_TITLE = "extension "
_VERSIONS = f"""
SELECT '{_TITLE}' || pg_catalog.quote_ident(name), coalesce(installed_version, default_version)
FROM pg_catalog.pg_available_extensions
"""
