"""Sending an answer, whole or with the fault that a test has ordered."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator

from aiohttp import web

from supapy.sandbox.api.call import Answer, Download
from supapy.sandbox.api.faults import Fault

# Bytes that are read and sent at once; what is no longer goes out in one piece, with its headers.
PIECE_BYTES = 256 * 1024


async def send(request: web.BaseRequest, answer: Answer, fault: Fault | None) -> web.StreamResponse:
    """Sends the answer, however long, in constant memory."""
    if fault is not None and fault.cut_after_bytes is not None:
        return await _cut(request, answer, fault, fault.cut_after_bytes)
    if isinstance(answer, web.Response):
        return answer
    if request.method == "HEAD":
        return web.Response(status=answer.status, headers={**answer.headers, "Content-Length": str(answer.length)})
    if answer.length <= PIECE_BYTES:
        return web.Response(status=answer.status, headers=answer.headers, body=_read(answer, 0, answer.length))
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = answer.length
    await response.prepare(request)
    async for piece in _pieces(answer, answer.length):
        await response.write(piece)
    return response


def reset(request: web.BaseRequest) -> None:
    """Breaks the connection so that the other side sees a reset."""
    if request.transport is not None:
        connection: socket.socket = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()


async def _cut(request: web.BaseRequest, answer: Answer, fault: Fault, length: int) -> web.StreamResponse:
    """An answer that says how long it is and then isn't."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    if isinstance(answer, Download):
        whole, pieces = answer.length, _pieces(answer, min(length, answer.length))
    else:
        body = bytes(answer.body) if isinstance(answer.body, bytes) else b""
        whole, pieces = len(body), _once(body[:length])
    if not fault.unsized:
        response.content_length = whole
    await response.prepare(request)
    async for piece in pieces:
        await response.write(piece)
    if fault.stall:
        await asyncio.Event().wait()
    elif fault.reset:
        reset(request)
    elif not fault.unsized and request.transport is not None:
        request.transport.close()
    return response


async def _pieces(answer: Download, length: int) -> AsyncIterator[bytes]:
    for offset in range(0, length, PIECE_BYTES):
        yield await asyncio.to_thread(_read, answer, offset, min(PIECE_BYTES, length - offset))


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _read(answer: Download, offset: int, length: int) -> bytes:
    file = os.open(answer.path, os.O_RDONLY)
    try:
        return os.pread(file, length, answer.start + offset)
    finally:
        os.close(file)
