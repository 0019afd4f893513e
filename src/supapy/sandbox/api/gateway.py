"""The gateway before both servers: it knows the keys, the servers behind it know tokens only (F§3)."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping

from supapy.sandbox.api.refusals import GatewayRefusal
from supapy.sandbox.api.tokens import BadToken, sign, verify
from supapy.secret import Secret

_BEARER = re.compile(r"Bearer\s+", re.IGNORECASE)


class Gateway:
    """Turns what a client sent into the token that the servers get."""

    def __init__(self, jwt_secret: Secret, ref: str) -> None:
        self._jwt_secret = jwt_secret
        self.secret_key = Secret(_opaque_key("sb_secret", jwt_secret, ref))
        self.publishable_key = Secret(_opaque_key("sb_publishable", jwt_secret, ref))
        self._tokens = {
            self.secret_key.reveal(): sign({"iss": "supabase", "ref": ref, "role": "service_role"}, jwt_secret),
            self.publishable_key.reveal(): sign({"iss": "supabase", "ref": ref, "role": "anon"}, jwt_secret),
        }

    def bearer(self, headers: Mapping[str, str]) -> str | None:
        """The token for the server; None when the client sent nothing. Raises GatewayRefusal for a wrong key."""
        key = headers.get("apikey")
        authorization = headers.get("Authorization")
        sent = None if authorization is None else _BEARER.sub("", authorization, count=1)
        if key is None:
            return sent
        token = self._token(key, headers)
        return token if sent is None or sent == key else sent

    def _token(self, key: str, headers: Mapping[str, str]) -> str:
        if key == self.secret_key.reveal() and "Mozilla/" in headers.get("User-Agent", ""):
            raise GatewayRefusal("Forbidden use of secret API key in browser", "Secret API keys are for servers only.")
        token = self._tokens.get(key)
        if token is None:
            try:
                verify(key, self._jwt_secret)
            except BadToken as error:
                hint = "Double check your Supabase `anon` or `service_role` API key."
                raise GatewayRefusal("Invalid API key", hint) from error
            token = key
        return token


def _opaque_key(prefix: str, jwt_secret: Secret, ref: str) -> str:
    """A key of the new form. It follows from the secret, so that nobody has to keep it."""
    digest = hmac.digest(jwt_secret.reveal().encode(), f"{prefix}:{ref}".encode(), "sha256")
    return f"{prefix}_{base64.urlsafe_b64encode(digest)[:31].decode()}"
