"""Activating: what a restore left asleep is shown with what it would call, and woken, all of it or one by one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from supapy.errors import SupapyError, UsageError
from supapy.model import Problem
from supapy.parts.database.alive.quiesced import SUBSCRIPTION
from supapy.parts.database.alive.subscriptions import publisher
from supapy.parts.database.alive.waking import Asleep, read_asleep, wake
from supapy.project.mark import unfinished
from supapy.project.project import Project, claims
from supapy.secret import Secret

# The last is how dblink is told where to.
_URL = re.compile(
    r"""https?://[^\s'"\\)<>,;]+|postgres(?:ql)?://[^\s'"\\)<>,;?]+|\bhost(?:addr)?=[^\s'"\\)<>,;]+""",
    re.IGNORECASE,
)
# Who calls, often with his password.
_CALLER = re.compile(r"(?<=://)[^/?#]*@")
_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+")
_API_KEY = re.compile(r"\bsb_(secret|publishable)_[\w-]+")
# What an SQL command says in so many letters may be a secret; where quotes are escaped it isn't known what is one.
_LITERAL = re.compile(r"'[^']*'|\$(\w*)\$.*?\$\1\$", re.DOTALL)
_ESCAPED = "\\'"
# Of a command as much as tells what it is.
LONGEST_COMMAND_CHARACTERS = 60
# What an address is made of: nothing that could end an SQL literal.
_ADDRESS = re.compile(r"[\w.:/@%?&=~+#\[\]-]+")
MASK = "******"


@dataclass(frozen=True, slots=True)
class Sleeper:
    """One thing that sleeps, for people. `urls` are those in it and in the functions it calls, `old_urls` those of them
    that lead to the project it comes from; `keys` says what keys stand in it; `gone` that nothing is left to wake: it
    is gone, or was made by hand. `runs` is when a job does what, without its literals, which may be secrets."""

    name: str
    sort: str
    source: str
    urls: list[str]
    old_urls: list[str]
    keys: list[str]
    functions: list[str]
    gone: bool
    runs: str


@dataclass(slots=True)
class Awakened:
    """What an activation came to."""

    woken: list[Sleeper] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    asleep: list[Sleeper] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What is written anew on waking: each `old` text by its `new` one, and, by `keys`, another project's keys by those
    of this project (by role). Functions are rewritten only where `in_functions` says so."""

    pairs: tuple[tuple[str, str], ...] = ()
    keys: Mapping[str, Secret] = field(default_factory=dict)
    in_functions: bool = False

    def __call__(self, text: str) -> str:
        for old, new in self.pairs:
            text = text.replace(old, new)
        if self.keys:
            text = _JWT.sub(self._key, _API_KEY.sub(self._api_key, text))
        return text

    def _key(self, found: re.Match[str]) -> str:
        said = claims(Secret(found[0])) or {}
        key = self.keys.get(str(said.get("role")))
        return key.reveal() if key else found[0]

    def _api_key(self, found: re.Match[str]) -> str:
        key = self.keys.get("service_role" if found[1] == "secret" else "anon")
        return key.reveal() if key else found[0]


def rewriting(given: Iterable[str], keys: Mapping[str, Secret], *, in_functions: bool = False) -> Rewriting:
    """What `OLD=NEW` texts and keys ask for. Raises UsageError for what isn't a pair of addresses."""
    pairs = []
    for text in given:
        old, equals, new = text.partition("=")
        if _JWT.search(text) or _API_KEY.search(text):
            raise UsageError(
                "--rewrite takes addresses, not keys",
                "Arguments are visible to everyone in the list of processes: --rewrite-keys takes the keys from the "
                "settings.",
            )
        if not equals or not _ADDRESS.fullmatch(old) or not _ADDRESS.fullmatch(new):
            raise UsageError(
                f"--rewrite {text!r} isn't OLD=NEW, two addresses",
                "For example --rewrite https://old.supabase.co=https://new.supabase.co.",
            )
        pairs.append((old, new))
    return Rewriting(tuple(pairs), keys, in_functions)


def sleepers(project: Project) -> list[Sleeper]:
    """What sleeps in the project, in the order in which it would wake. Reads only."""
    with project.session() as session:
        return [_sleeper(one) for one in read_asleep(session)]


def activate(
    project: Project,
    names: Sequence[str] | None,
    how: Rewriting | None = None,
    told: Callable[[Sleeper], None] = lambda _: None,
) -> Awakened:
    """Wake what is named, everything where nothing is (None); `told` hears of each that woke.

    Each wakes by itself, as a whole or not at all: what can't is a problem and sleeps on. Raises UsageError before
    anything is changed when a name fits nothing or more than one thing, when what is to be rewritten stands nowhere,
    or when the project is half restored.
    """
    how, outcome = how or Rewriting(), Awakened()
    with project.session() as session:
        if begun := unfinished(session):
            raise UsageError(
                f"project {project.ref} is half restored: {begun} is on its way in", "Finish that restore first."
            )
        asleep = read_asleep(session)
        wanted = asleep if names is None else _named(asleep, names)
        _check_rewriting(wanted, how)
        for one in wanted:
            try:
                wake(session, one, how, in_functions=how.in_functions)
            except SupapyError as error:
                outcome.problems.append(Problem("database", one.what.name, error.message))
            else:
                outcome.woken.append(_sleeper(one, how))
                told(outcome.woken[-1])
        outcome.asleep = [_sleeper(one) for one in read_asleep(session)]
    return outcome


def _named(asleep: Sequence[Asleep], names: Sequence[str]) -> list[Asleep]:
    """What the names mean: whole ones, or what a job or a trigger is called."""
    wanted: dict[int, Asleep] = {}
    for name in names:
        fitting = [one for one in asleep if one.what.name == name] or [one for one in asleep if name in _short(one)]
        if len(fitting) != 1:
            some = "; ".join(one.what.name for one in fitting or asleep)
            found = "is more than one thing" if fitting else "doesn't sleep here"
            hint = f"Asleep here: {some}." if some else "Nothing does: no restore has left anything asleep here."
            raise UsageError(f"{name or 'what has no name'} {found}", hint)
        wanted[fitting[0].what.number] = fitting[0]
    return [one for one in asleep if one.what.number in wanted]


def _short(one: Asleep) -> tuple[str, ...]:
    trigger = one.what.trigger or ""
    names = (one.what.name.removeprefix("cron job "), trigger, trigger.strip('"').replace('""', '"'))
    return tuple(filter(None, names))


def _check_rewriting(wanted: Sequence[Asleep], how: Rewriting) -> None:
    for old, _ in how.pairs:
        own = any(old in (one.text or "") for one in wanted)
        functions = sorted({name for one in wanted for name, text in one.functions if old in text})
        if not own and not (functions and how.in_functions):
            where = f"only in {', '.join(functions)}" if functions else "nowhere in what is to wake"
            hint = "Say --in-functions to rewrite functions as well." if functions else "Nothing was changed."
            raise UsageError(f"{old} stands {where}", hint)


def _sleeper(one: Asleep, how: Rewriting | None = None) -> Sleeper:
    texts = one.texts
    if how:
        texts = [how(texts[0]), *(how(text) if how.in_functions else text for text in texts[1:])]
    whole = "\n".join(texts)
    called = dict.fromkeys(_URL.findall(whole))
    if one.what.sort == SUBSCRIPTION:
        # All else in it may be a password.
        called, whole = dict.fromkeys(filter(None, [publisher(whole)])), ""
    urls = [_masked(url.rstrip(".")) for url in called]
    old = [url for url in urls if _leads_to(url, one.what.source)]
    said = [claims(Secret(key)) or {} for key in _JWT.findall(whole)]
    keys = [f"a {one.get('role')} key of project {one.get('ref')}" for one in said if one]
    keys += [f"a {kind} key" for kind in _API_KEY.findall(whole)]
    functions = [
        name for name, text in one.functions if _URL.search(text) or _JWT.search(text) or _API_KEY.search(text)
    ]
    what, keys = one.what, list(dict.fromkeys(keys))
    return Sleeper(what.name, what.sort, what.source, urls, old, keys, functions, one.text is None, _runs(one))


def has_key_of(text: str, ref: str) -> bool:
    """Whether a text has a key of that project in it, or one that doesn't say whose it is."""
    said = (claims(Secret(key)) for key in _JWT.findall(text))
    return bool(_API_KEY.search(text)) or any(one.get("ref") == ref for one in said if one)


def _runs(one: Asleep) -> str:
    """When a job runs, and what."""
    if one.schedule is None or one.text is None:
        return ""
    command = "" if _ESCAPED in one.text else " ".join(_LITERAL.sub("'…'", one.text).split())
    if len(command) > LONGEST_COMMAND_CHARACTERS:
        command = command[:LONGEST_COMMAND_CHARACTERS] + "…"
    return f"{one.schedule}: {command}" if command else one.schedule


def _leads_to(url: str, host: str) -> bool:
    """Whether an address, or what stands in the place of one, is of that host, or of one below it."""
    place = (url.partition("://")[2] or url.partition("=")[2]).partition("/")[0].rpartition("@")[2]
    return place == host or place.partition(":")[0].endswith(f".{host}")


def _masked(url: str) -> str:
    return _CALLER.sub(f"{MASK}@", _API_KEY.sub(MASK, _JWT.sub(MASK, url)))
