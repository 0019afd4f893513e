"""The calls of Supabase's Management API that supapy needs (F§5): what only the account that owns a project may ask."""

from __future__ import annotations

import json
from urllib.parse import quote

from supapy.errors import AccessDenied, ApiError, Unreachable, UsageError
from supapy.project.answers import Answer, true_status
from supapy.project.http import Http, can_be_sent
from supapy.secret import Secret

BASE_URL = "https://api.supabase.com"
# What is told here, in words of its own; all else is `Http`'s.
_TOLD = frozenset({400, 401, 402, 403, 404})
_ACCOUNT = "A token of an account is made in the dashboard: Account > Access Tokens."


class ManagementApi:
    """The Management API with an account's access token, which may be missing: then every call says so."""

    def __init__(self, token: Secret, base_url: str = BASE_URL) -> None:
        self._token = token
        self._base_url = base_url
        self._http = Http(self._base_url, token, is_gateway=False)

    def root_key(self, ref: str) -> Secret:
        """The root key of a project's vault, which only an active project gives (F§4.6). Raises UsageError without a
        token, AccessDenied when it is refused or may too little, ApiError when there is no such project."""
        answer = self._ask("GET", ref, "its root key can't be read")
        said = answer.json()
        key = said.get("root_key") if isinstance(said, dict) else None
        if not key or not isinstance(key, str):
            raise ApiError(f"the Management API gives no root key of project {ref}")
        return Secret(key)

    def set_root_key(self, ref: str, key: Secret) -> None:
        """Give a project's vault that root key. What its own key had sealed can't be read any more. Raises the same."""
        self._ask("PUT", ref, "its root key can't be set", json.dumps({"root_key": key.reveal()}).encode())

    def hang_up(self) -> None:
        """End the request under way, from whichever thread; whoever waits for it gets `Interrupted`."""
        self._http.hang_up()

    def close(self) -> None:
        """Let go of the connections. Closing twice is safe."""
        self._http.close()

    def _ask(self, method: str, ref: str, failed: str, body: bytes | None = None) -> Answer:
        if not self._token:
            raise UsageError("SUPABASE_ACCESS_TOKEN is not set", f"{_ACCOUNT} Put it into .env or the environment.")
        if not can_be_sent(self._token):
            raise AccessDenied("SUPABASE_ACCESS_TOKEN holds characters that no token has", _ACCOUNT)
        path = f"/v1/projects/{quote(ref, safe='')}/pgsodium"
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            answer = self._http.request(method, path, body=body, headers=headers, expect=_TOLD | {200})
        except Unreachable as error:
            error.hint = f"The Management API is at {self._base_url}; run the command again later."
            raise
        if answer.status != 200:
            raise _refused(answer, f"project {ref}: {failed}")
        return answer


def _refused(answer: Answer, what: str) -> AccessDenied | ApiError:
    status, code, message = true_status(answer.status, answer.body)
    reason = message or code or "without a reason"
    if status == 401:
        return AccessDenied(
            f"the Management API refused the access token: {reason}", f"Check SUPABASE_ACCESS_TOKEN. {_ACCOUNT}"
        )
    if status == 403:
        return AccessDenied(
            f"{what}: the access token may not ({reason})",
            "The token's account must own both projects; a token of few rights needs secrets:read of the one, and "
            "secrets:read and secrets:write of the other.",
        )
    hint = "The project must exist, be active and belong to the token's account: one that is paused gives no key."
    return ApiError(f"{what}: {status} {reason}", hint, status=status, code=code)
