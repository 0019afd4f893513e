"""Much at once, without a thread for each: an event loop in a thread of its own, and work done side by side on it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from supapy.errors import Interrupted

S = TypeVar("S")
T = TypeVar("T")
# What takes longer to hand to another thread than to write and hash.
LARGEST_INLINE_BYTES = 64 * 1024
# Handed to the loop at a time: a turn between two threads costs as much as a small piece of work.
CHUNK = 64
# Results that may wait for one that stands before them: a file of hours must not hold up the small ones behind it, and
# results are small.
MOST_WAITING = 10_000


class Loop:
    """Runs coroutines for other threads; it begins with the first. Close it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._hung_up = False

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin it. The future is done when the work has ended, also when that was by `hang_up`: with Interrupted."""
        future: Future[T] = Future()

        def begin() -> None:
            task = loop.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, future))
            if self._hung_up:
                task.cancel()

        with self._lock:
            if self._hung_up:
                work.close()
                raise Interrupted("interrupted")
            loop = self._running()
            loop.call_soon_threadsafe(begin)
        return future

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it and give its result. Raises Interrupted when somebody hangs up."""
        return self.start(work).result()

    def soon(self, act: Callable[[], object]) -> None:
        """Do something short on the loop, without waiting for it; nothing once it is closed."""
        with self._lock:
            if self._loop:
                self._loop.call_soon_threadsafe(act)

    def hang_up(self) -> None:
        """End all work, whatever it waits for. What is started from then on is interrupted at once."""
        with self._lock:
            self._hung_up = True
            if self._loop:
                self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._tasks])

    def close(self, last: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """End all work, do the `last`, and end the thread. Closing twice is safe."""
        self.hang_up()
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop and thread:
            asyncio.run_coroutine_threadsafe(_ending(last), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="supapy-loop", daemon=True)
            self._thread.start()
        return self._loop

    def _ended(self, future: Future[T], task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            future.set_exception(Interrupted("interrupted"))
        elif error := task.exception():
            future.set_exception(error)
        else:
            future.set_result(task.result())


async def _ending(last: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)
    if last:
        await last()
    await asyncio.get_running_loop().shutdown_default_executor()


async def in_thread(act: Callable[..., T], *arguments: Any) -> T:
    """Do something that takes long in another thread. It has ended on return, also when this is cancelled."""
    future = asyncio.get_running_loop().run_in_executor(None, partial(act, *arguments))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            await asyncio.wait([future])
        raise


async def pump(pieces: AsyncIterable[bytes], absorb: Callable[[bytes], None]) -> None:
    """Give every piece to `absorb`, in order; a large one in another thread, while the next is on its way."""
    under_way: asyncio.Task[None] | None = None
    try:
        async for piece in pieces:
            if under_way:
                await under_way
                under_way = None
            if len(piece) <= LARGEST_INLINE_BYTES:
                absorb(piece)
            else:
                under_way = asyncio.create_task(in_thread(absorb, piece))
        if under_way:
            await under_way
    finally:
        if under_way and not under_way.done():
            await asyncio.wait([under_way])


def side_by_side(
    loop: Loop,
    things: Iterable[S],
    slow: Callable[[S], Awaitable[T]],
    note: Callable[[T], object],
    *,
    at_once: int,
    quick: Callable[[S], T | None] = lambda _: None,
) -> None:
    """Do something with each thing, `at_once` at the same time, and note the results in the order of the things.

    Things are looked for in the calling thread, all else is done on the loop. What `quick` has a result for is done
    with that. The first error, here or there, ends everything that is under way and is raised when it has ended.
    """
    chunks: asyncio.Queue[list[S]] = asyncio.Queue(maxsize=1)
    job = loop.start(_all(chunks, slow, note, quick, at_once))
    try:
        for chunk in _chunked(things):
            wait((job, loop.start(chunks.put(chunk))), return_when=FIRST_COMPLETED)
            if job.done():
                break
        job.result()
    except BaseException:
        if not job.done():
            loop.hang_up()
            wait((job,))
        raise


def _chunked(things: Iterable[S]) -> Iterator[list[S]]:
    """The things in lists, and an empty list at their end."""
    found = iter(things)
    while chunk := list(islice(found, CHUNK)):
        yield chunk
    yield []


async def _all(
    chunks: asyncio.Queue[list[S]],
    slow: Callable[[S], Awaitable[T]],
    note: Callable[[T], object],
    quick: Callable[[S], T | None],
    at_once: int,
) -> None:
    gate = asyncio.Semaphore(at_once)
    waiting: deque[asyncio.Task[T] | asyncio.Future[T]] = deque()

    async def held(thing: S) -> T:
        try:
            return await slow(thing)
        finally:
            gate.release()

    async def note_all(down_to: int) -> None:
        while waiting and (len(waiting) > down_to or waiting[0].done()):
            note(await waiting.popleft())

    try:
        async with asyncio.TaskGroup() as group:
            while chunk := await chunks.get():
                for thing in chunk:
                    at_hand = quick(thing)
                    if at_hand is not None and not waiting:
                        note(at_hand)
                    elif at_hand is not None:
                        done: asyncio.Future[T] = asyncio.Future()
                        done.set_result(at_hand)
                        waiting.append(done)
                    else:
                        await gate.acquire()
                        waiting.append(group.create_task(held(thing)))
                    await note_all(MOST_WAITING)
            await note_all(0)
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    finally:
        # Whoever waits to hand over a chunk need not wait any longer.
        while not chunks.empty():
            chunks.get_nowait()


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that came first; the others are mostly its consequences."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
