"""The refusals of the Storage and Auth servers, with their exact bodies.

Storage hides most of its statuses: the HTTP status is 400 and the true one stands as text in the body (F§1.1).
Uploads by TUS answer in plain text with the true status (F§1.7), Auth in JSON with the true status (F§2.1).
"""

from __future__ import annotations

from uuid import uuid4

import psycopg
from aiohttp import web

# Auth's own version of its error format, asked for by a header (F§2.1).
AUTH_VERSION_HEADER = "X-Supabase-Api-Version"
AUTH_VERSION_2024 = "2024-01-01"


class StorageRefusal(Exception):
    """An error of the Storage server: `status` stands in the body, `http_status` in the answer's first line."""

    def __init__(self, status: int, error: str, message: str, code: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message
        self.code = code
        self.http_status = http_status or (500 if status == 500 else 400)

    def response(self) -> web.Response:
        """The answer in JSON."""
        body = {"statusCode": str(self.status), "error": self.error, "message": self.message, "code": self.code}
        return web.json_response(body, status=self.http_status)


class TusRefusal(Exception):
    """An error of a resumable upload: plain text, true status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text

    def response(self) -> web.Response:
        """The answer in plain text."""
        return web.Response(status=self.status, text=self.text, headers={"Tus-Resumable": "1.0.0"})


class AuthRefusal(Exception):
    """An error of the Auth server."""

    def __init__(self, status: int, error_code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message

    def response(self, version: str | None) -> web.Response:
        """The answer, in the format of the API version that the caller named."""
        body: dict[str, object]
        headers = {"x-sb-error-code": self.error_code}
        if version == AUTH_VERSION_2024:
            headers[AUTH_VERSION_HEADER] = version
            body = {"code": self.error_code, "message": self.message}
        else:
            body = {"code": self.status, "error_code": self.error_code, "msg": self.message}
            if self.status >= 500:
                body["error_id"] = str(uuid4())
        return web.json_response(body, status=self.status, headers=headers)


class DatabaseRefusal(AuthRefusal):
    """A constraint, or a trigger that raised an exception: shown as the database said it."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(500, "unexpected_failure", error.diag.message_primary or "")
        said = {"detail": error.diag.message_detail, "hint": error.diag.message_hint}
        self._body = {"code": error.sqlstate, "message": self.message, **{k: v for k, v in said.items() if v}}

    def response(self, version: str | None) -> web.Response:
        """The answer; a caller that asks for the newer format gets the ordinary one."""
        if version == AUTH_VERSION_2024:
            return super().response(version)
        return web.json_response(self._body, status=500)


class GatewayRefusal(Exception):
    """An error of the gateway that stands before both servers (F§3)."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def response(self) -> web.Response:
        """The answer: always 401."""
        return web.json_response({"message": self.message, "hint": self.hint}, status=401)


def no_such_bucket() -> StorageRefusal:
    return StorageRefusal(404, "Bucket not found", "Bucket not found", "NoSuchBucket")


def no_such_key() -> StorageRefusal:
    return StorageRefusal(404, "not_found", "Object not found", "NoSuchKey")


def already_exists(code: str) -> StorageRefusal:
    """`code` is KeyAlreadyExists, BucketAlreadyExists or ResourceAlreadyExists."""
    return StorageRefusal(409, "Duplicate", "The resource already exists", code)


def bucket_not_empty() -> StorageRefusal:
    message = "The bucket you tried to delete is not empty"
    return StorageRefusal(409, "ResourceNotEmpty", message, "ResourceNotEmpty")


def invalid_bucket_name() -> StorageRefusal:
    return StorageRefusal(400, "Invalid Input", "Bucket name invalid", "InvalidBucketName")


def invalid_key(key: str) -> StorageRefusal:
    return StorageRefusal(400, "InvalidKey", f"Invalid key: {key}", "InvalidKey")


def too_large() -> StorageRefusal:
    message = "The object exceeded the maximum allowed size"
    return StorageRefusal(413, "Payload too large", message, "EntityTooLarge")


def mime_refused(mime: str) -> StorageRefusal:
    return StorageRefusal(415, "invalid_mime_type", f"mime type {mime} is not supported", "InvalidMimeType")


def access_denied(message: str, http_status: int | None = None) -> StorageRefusal:
    return StorageRefusal(403, "Unauthorized", message, "AccessDenied", http_status)


def bad_schema(message: str) -> StorageRefusal:
    """The request isn't of the form that the route asks for."""
    return StorageRefusal(400, "Error", message, "InvalidRequest")


def bad_json(what: str) -> StorageRefusal:
    """The body isn't what the header Content-Type says it is."""
    message = f"{what} content-type is set to 'application/json'"
    return StorageRefusal(400, "FastifyError", message, "InvalidRequest")


def bad_url(path: str) -> web.Response:
    """The path has a percent sign that means nothing, or isn't UTF-8."""
    message = f"'{path}' is not a valid url component"
    body = {"error": "Bad Request", "code": "FST_ERR_BAD_URL", "message": message, "statusCode": 400}
    return web.json_response(body, status=400)


def invalid_request(message: str) -> StorageRefusal:
    return StorageRefusal(400, "InvalidRequest", message, "InvalidRequest")


def invalid_parameter(message: str) -> StorageRefusal:
    return StorageRefusal(400, "InvalidParameter", message, "InvalidParameter")


def invalid_signature(message: str = "Invalid signature") -> StorageRefusal:
    return StorageRefusal(400, "InvalidSignature", message, "InvalidSignature")


def invalid_token(message: str) -> StorageRefusal:
    """A signed URL whose token is no token, was not made here, or has expired."""
    return StorageRefusal(400, "InvalidJWT", message, "InvalidJWT")


def invalid_range() -> StorageRefusal:
    return StorageRefusal(416, "invalid_range", "invalid range provided", "InvalidRange", http_status=416)


def internal() -> StorageRefusal:
    """What an unforeseen failure looks like; on the file backend also a row whose bytes are gone (F§1.5)."""
    return StorageRefusal(500, "Internal", "Internal Server Error", "InternalError")


def from_database(error: psycopg.Error) -> StorageRefusal:
    """The Storage server's reading of a database error."""
    message = (error.diag.message_primary or str(error)).strip()
    match error.sqlstate:
        case "42501":
            hidden = "row-level security" in message
            return access_denied("new row violates row-level security policy" if hidden else message)
        case "23505":
            return already_exists("ResourceAlreadyExists")
        case "23503":
            return StorageRefusal(404, "InvalidRequest", "The related resource does not exist", "InvalidRequest")
        case "55P03":
            return StorageRefusal(423, "ResourceLocked", "The resource is locked", "ResourceLocked")
        case "57014":
            timeout = "The connection to the database timed out"
            return StorageRefusal(544, "DatabaseTimeout", timeout, "DatabaseTimeout", http_status=544)
        case "22P02":
            return invalid_parameter(message)
        case _:
            code = f"database error, code: {error.sqlstate}"
            return StorageRefusal(500, "DatabaseError", code, "DatabaseError")


def not_found(method: str, path: str) -> web.Response:
    """No such route."""
    message = f"Route {method}:{path} not found"
    body = {"message": message, "error": "Not Found", "statusCode": "404", "code": "InvalidRequest"}
    return web.json_response(body, status=404)
