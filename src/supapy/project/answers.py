"""What a project's servers answer, and which of our errors it is when they refuse."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from supapy.errors import AccessDenied, ApiError, ProjectError
from supapy.retry import MOST_TRIES, Again, asked_wait_s

# Worth another try (F§1.1): overload, a service that restarts, a database time-out behind it.
RETRYABLE = frozenset({423, 429, 500, 502, 503, 504, 544})
# A server that has too much to do, of whatever kind.
OVERLOADED = frozenset({429, 503, 504, 544})
# A 500 may pass, but mostly it is what the server thinks of this one request: an object whose bytes are gone (F§1.5).
MOST_TRIES_AT_500 = 3
_STATUS = re.compile(r"[1-5][0-9][0-9]")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `status` is the true one: the Storage server wraps most errors into 400 (F§1.1)."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises ApiError when it isn't."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise ApiError(
                "the server's answer isn't JSON", "Is SUPABASE_URL the project's own address?", status=self.status
            ) from None


def true_status(status: int, body: bytes) -> tuple[int, str, str]:
    """Status, code and message of an error answer, from the body where it says more than the status line (F§1.1)."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return status, "", body[:200].decode("utf-8", "replace").strip()
    inner = str(said.get("statusCode", ""))
    code = said.get("error_code") or said.get("code") or said.get("error") or ""
    message = said.get("message") or said.get("msg") or said.get("error_description") or ""
    return int(inner) if _STATUS.fullmatch(inner) else status, str(code), str(message)


def refused(answer: Answer, what: str) -> Exception:
    """The error that a refusal is, or `Again` with it where another try may help."""
    status, code, message = true_status(answer.status, answer.body)
    said = f"{what.split('?')[0]}: {status} {message or code or 'without a reason'}"
    if status in (401, 403):
        return AccessDenied(
            f"the project refused the key: {message or code or status}",
            "Check SUPABASE_KEY: it must be this project's service_role key or a secret key that is still valid.",
        )
    error: ProjectError = ApiError(said, status=status, code=code)
    if status not in RETRYABLE:
        return error
    wait_s = asked_wait_s(answer.headers.get("Retry-After"), time.time())
    return Again(error, wait_s, MOST_TRIES_AT_500 if status == 500 else MOST_TRIES)
