"""Which objects are meant, when not all are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from supapy.errors import UsageError
from supapy.model import Json


class Scope(Protocol):
    """Some of a project's objects."""

    def takes_bucket(self, bucket: str) -> bool:
        """Whether any object of that bucket is meant."""

    def takes(self, bucket: str, key: str) -> bool:
        """Whether that object is meant."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The objects of some buckets, under some prefixes, but for some. Empty, it takes everything.

    `buckets` are patterns of bucket ids; `prefixes` are begins of keys; `excluded` are patterns of "<bucket>/<key>", in
    which `*` also stands for slashes. `to_bucket` is where a restore puts them instead of their own bucket; raises
    UsageError unless exactly one is named then.
    """

    buckets: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    to_bucket: str | None = None

    def __post_init__(self) -> None:
        if self.to_bucket is not None and len(self.buckets) != 1:
            raise UsageError("into one bucket go the objects of one", "Name it with --bucket beside --to-bucket.")

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not (self.buckets or self.prefixes or self.excluded)

    @property
    def takes_whole_buckets(self) -> bool:
        """Whether each bucket is taken with all that is in it, so that its own settings belong to it."""
        return not (self.prefixes or self.excluded or self.to_bucket)

    def takes_bucket(self, bucket: str) -> bool:
        """Whether any object of that bucket is meant."""
        return not self.buckets or any(fnmatchcase(bucket, pattern) for pattern in self.buckets)

    def takes(self, bucket: str, key: str) -> bool:
        """Whether that object is meant."""
        return (
            self.takes_bucket(bucket)
            and (not self.prefixes or key.startswith(self.prefixes))
            and not any(fnmatchcase(f"{bucket}/{key}", pattern) for pattern in self.excluded)
        )

    def to_json(self) -> Json:
        """What is said of it in a backup that was made with it."""
        return {name: list(value) for name, value in asdict(self).items() if isinstance(value, tuple)}

    @property
    def options(self) -> dict[str, tuple[str, ...] | str | None]:
        """What is said, by the options that say it."""
        return {
            "--bucket": self.buckets,
            "--prefix": self.prefixes,
            "--exclude": self.excluded,
            "--to-bucket": self.to_bucket,
        }

    @classmethod
    def of(cls, said: object) -> Selection:
        """The selection that a backup was made with, from what it says."""
        named = said if isinstance(said, dict) else {}
        buckets, prefixes, excluded = (
            tuple(map(str, named.get(name) or ())) for name in ("buckets", "prefixes", "excluded")
        )
        return cls(buckets, prefixes, excluded)

    def in_target(self, made_with: Selection) -> Scope:
        """The objects of a target that a restore of these would put there, out of a backup `made_with` a selection."""
        if self.to_bucket is not None:
            return _Moved(self, self.to_bucket)
        return EVERYTHING if self.is_everything and made_with.is_everything else _Both(made_with, self)


@dataclass(frozen=True, slots=True)
class _Both:
    """What both selections mean."""

    one: Selection
    other: Selection

    def takes_bucket(self, bucket: str) -> bool:
        return self.one.takes_bucket(bucket) and self.other.takes_bucket(bucket)

    def takes(self, bucket: str, key: str) -> bool:
        return self.one.takes(bucket, key) and self.other.takes(bucket, key)


@dataclass(frozen=True, slots=True)
class _Moved:
    """The objects of a selection where they have been put into another bucket."""

    only: Selection
    bucket: str

    def takes_bucket(self, bucket: str) -> bool:
        return bucket == self.bucket

    def takes(self, bucket: str, key: str) -> bool:
        return bucket == self.bucket and self.only.takes(self.only.buckets[0], key)


EVERYTHING = Selection()


class Fitting:
    """The same objects as a selection; once it has been asked about all there are, it knows what fitted none."""

    def __init__(self, only: Selection) -> None:
        self._only = only
        # As they are said on the command line.
        self.unused_buckets = {pattern: f"--bucket {pattern}" for pattern in only.buckets}
        self.unused_prefixes = {prefix: f"--prefix {prefix}" for prefix in only.prefixes}
        self.unused_exclusions = {pattern: f"--exclude {pattern}" for pattern in only.excluded}

    def takes_bucket(self, bucket: str) -> bool:
        _strike(self.unused_buckets, lambda pattern: fnmatchcase(bucket, pattern))
        return self._only.takes_bucket(bucket)

    def takes(self, bucket: str, key: str) -> bool:
        if not self.takes_bucket(bucket):
            return False
        _strike(self.unused_prefixes, key.startswith)
        _strike(self.unused_exclusions, lambda pattern: fnmatchcase(f"{bucket}/{key}", pattern))
        return self._only.takes(bucket, key)

    @property
    def unused(self) -> list[str]:
        """All that fitted none."""
        return [*self.unused_buckets.values(), *self.unused_prefixes.values(), *self.unused_exclusions.values()]


def _strike(unused: dict[str, str], fits: Callable[[str], bool]) -> None:
    for one in [one for one in unused if fits(one)]:
        del unused[one]
