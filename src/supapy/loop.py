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
from supapy.model import Piece

S = TypeVar("S")
T = TypeVar("T")
# What takes longer to hand to another thread than to write and hash.
LARGEST_INLINE_BYTES = 64 * 1024
# Large pieces of one thing that wait to be absorbed, or are: with fewer, whenever one (mostly the disk) stops for a
# moment, all others soon do. Of many things they would be too much memory, so each has its share; with less than the
# least nothing overlaps.
MOST_PIECES = 16
MOST_PIECES_IN_ALL = 64
LEAST_PIECES = 3
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
        self._pumps = 0

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

    async def pump(self, pieces: AsyncIterable[Piece], *absorb: Callable[[Piece], None]) -> None:
        """Give every piece to each of `absorb`, in order; on the loop. Large ones are absorbed in other threads, by all
        of these at the same time, while further ones are on their way; none is any longer on return."""
        lanes: list[_Lane] = []
        try:
            async for piece in pieces:
                if not lanes and len(piece) <= LARGEST_INLINE_BYTES:
                    for act in absorb:
                        act(piece)
                    continue
                if not lanes:
                    lanes = [_Lane(act) for act in absorb]
                    self._pumps += 1
                for lane in lanes:
                    lane.put(piece)
                share = max(LEAST_PIECES, min(MOST_PIECES, MOST_PIECES_IN_ALL // self._pumps))
                for lane in lanes:
                    await lane.down_to(share - 1)
            for lane in lanes:
                await lane.down_to(0)
        finally:
            self._pumps -= bool(lanes)
            for lane in lanes:
                await lane.end()

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


class _Lane:
    """Pieces that wait for one who absorbs them, or are being absorbed: one after the other, in another thread."""

    def __init__(self, absorb: Callable[[Piece], None]) -> None:
        self._absorb = absorb
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Piece] = deque()
        # How many were put in, are done, and must be before somebody can go on.
        self._put = self._done = self._awaited = 0
        self._reached = asyncio.Event()
        self._job: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._given_up = False

    def put(self, piece: Piece) -> None:
        """One more."""
        self._waiting.append(piece)
        self._put += 1
        self._go_on()

    async def down_to(self, most: int) -> None:
        """Wait until no more than `most` are left. Raises what absorbing has raised."""
        self._reached.clear()
        self._awaited = self._put - most
        # Only now: what is done from here on is told.
        while self._done < self._awaited:
            if self._error:
                raise self._error
            await self._reached.wait()
            self._reached.clear()

    async def end(self) -> None:
        """What isn't being absorbed isn't any more, and nothing is on return."""
        self._given_up = True
        if self._job:
            await asyncio.wait([self._job])

    def _go_on(self) -> None:
        # Those that wait now, and then the next lane's: there are fewer threads than there may be lanes.
        if self._waiting and not (self._job or self._error or self._given_up):
            some, self._waiting = self._waiting, deque()
            self._job = self._loop.run_in_executor(None, self._absorb_all, some)
            self._job.add_done_callback(self._ended)

    def _absorb_all(self, pieces: deque[Piece]) -> None:
        while pieces and not self._given_up:
            # Nobody has it any longer than it takes: its memory may be wanted for the next.
            self._absorb(pieces.popleft())
            self._done += 1
            if self._done == self._awaited:
                self._loop.call_soon_threadsafe(self._reached.set)

    def _ended(self, job: asyncio.Future[None]) -> None:
        self._job, self._error = None, job.exception()
        if self._error:
            self._reached.set()
        self._go_on()


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
