"""How a run ends when it doesn't end well: signals that interrupt it, errors in words or as JSON, and the exit code."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import FrameType
from urllib.parse import quote, unquote

import click

from supapy.cli.shell import IN_ARGUMENTS, Shell
from supapy.errors import Interrupted, SupapyError, UsageError

# What a run is given to end its children and remove its draft: until then another Ctrl-C changes nothing.
CLEAN_UP_S = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SECRET_OPTION = re.compile(r"pass|pw|key|secret|token|cred|dsn|db.?url|database.?url|^-[pkW]$", re.IGNORECASE)
# A shorter text may be a word of its own: `postgres` is a password on many a machine.
SHORTEST_SECRET_CHARS = 12


@dataclass(frozen=True, slots=True)
class Ending:
    """What is said at the end."""

    error: str
    hint: str | None
    exit_code: int


def heed_signals() -> None:
    """Let Ctrl-C, a polite kill and a closed terminal all end the run in order, as KeyboardInterrupt.

    What is ignored already stays so: that is how `nohup` asks.
    """
    last = -CLEAN_UP_S

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= CLEAN_UP_S:
            last = now
            raise KeyboardInterrupt

    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def ignore_signals() -> None:
    """From here on the exit code stands: one more Ctrl-C must not replace it."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def tell(error: BaseException, shell: Shell) -> int:
    """Say on standard error what ended the run, and give the exit code."""
    ending = _ending(error)
    expected = isinstance(error, SupapyError | click.ClickException | click.Abort | KeyboardInterrupt)
    trace = "" if expected or not shell.verbose else "".join(traceback.format_exception(error))
    if shell.json:
        said = json.dumps(asdict(ending) | ({"traceback": trace} if trace else {}), ensure_ascii=False)
    else:
        hint = f"\nhint: {ending.hint}" if ending.hint else ""
        said = f"{trace}error: {ending.error}{hint}"
    with contextlib.suppress(OSError):
        print(_scrubbed(said, shell), file=sys.stderr, flush=True)
    return ending.exit_code


def _ending(error: BaseException) -> Ending:
    match error:
        case SupapyError():
            return Ending(error.message, error.hint, error.exit_code)
        case KeyboardInterrupt() | click.Abort():
            return Ending("interrupted", None, Interrupted.exit_code)
        case click.NoSuchOption() if _SECRET_OPTION.search(error.option_name):
            return Ending(f"no option takes a secret, {error.option_name} neither", IN_ARGUMENTS, UsageError.exit_code)
        case click.ClickException():
            return Ending(_plain(error.format_message()), _help_of(error), UsageError.exit_code)
        case _:
            return Ending(
                f"this is a bug in supapy: {type(error).__name__}",
                "Please report it, with what the same command prints after `supapy -v`.",
                SupapyError.exit_code,
            )


def _plain(message: str) -> str:
    """Click's sentence as our messages are written."""
    return message[:1].lower() + message[1:].rstrip(".")


def _help_of(error: click.ClickException) -> str | None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return None
    before = {name for option in context.find_root().command.params for name in option.opts}
    if context.parent and isinstance(error, click.NoSuchOption) and error.option_name in before:
        return f"It stands before the command: supapy {error.option_name} {context.info_name}."
    return f"`{context.command_path} --help` shows what can be said."


def _scrubbed(text: str, shell: Shell) -> str:
    """The text without the secrets there are. Our own words never hold one; a bug's or a server's may."""
    for secret in _secrets(shell):
        for form in (secret, quote(secret, safe=""), unquote(secret), json.dumps(secret)[1:-1]):
            text = text.replace(form, "******")
    return text


def _secrets(shell: Shell) -> Iterator[str]:
    try:
        values = shell.settings.values
    except Exception:  # settings that can't be read can't be shown, and what ended the run is still to be told
        return
    password = re.search(r"://[^/?#]*?:([^/?#]*)@|password\s*=\s*('[^']*'|\S+)", values["SUPABASE_DB_URL"])
    found = (
        values["SUPABASE_KEY"],
        values["SUPABASE_DB_URL"],
        shell.settings.access_token,
        *(password.groups() if password else ()),
    )
    yield from (secret.strip("'") for secret in found if secret and len(secret) >= SHORTEST_SECRET_CHARS)
