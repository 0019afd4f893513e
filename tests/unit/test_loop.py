"""Work side by side on a loop in another thread: its order, its bounds, and how it ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from functools import partial

import pytest

from supapy.errors import Interrupted
from supapy.loop import (
    CHUNK,
    LARGEST_INLINE_BYTES,
    MOST_PIECES,
    MOST_PIECES_IN_ALL,
    MOST_WAITING,
    Loop,
    in_thread,
    side_by_side,
)
from supapy.model import Piece


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def test_results_are_noted_in_the_order_of_the_things(loop: Loop) -> None:
    later = asyncio.Event()
    noted: list[int] = []

    async def slow(number: int) -> int:
        if number == 0:
            await later.wait()
        if number == 3:
            later.set()
        return number

    side_by_side(loop, range(4), slow, noted.append, at_once=4)
    assert noted == [0, 1, 2, 3]


def test_what_is_at_hand_is_noted_in_its_place_and_nothing_is_begun_for_it(loop: Loop) -> None:
    begun: list[int] = []
    noted: list[str] = []

    async def slow(number: int) -> str:
        begun.append(number)
        await asyncio.sleep(0)
        return f"slow {number}"

    things = range(3 * CHUNK)
    side_by_side(loop, things, slow, noted.append, at_once=2, quick=lambda n: f"quick {n}" if n % 3 else None)
    assert noted == [f"quick {n}" if n % 3 else f"slow {n}" for n in things]
    assert begun == [n for n in things if n % 3 == 0]


def test_no_more_than_asked_for_are_under_way(loop: Loop) -> None:
    under_way, most = 0, 0

    async def slow(_: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    side_by_side(loop, range(500), slow, lambda _: None, at_once=7)
    assert most == 7


def test_small_ones_go_on_behind_a_large_one_but_not_without_end(loop: Loop) -> None:
    ended = 0
    release = asyncio.Event()

    async def slow(number: int) -> None:
        nonlocal ended
        if number == 0:
            await release.wait()
        ended += 1
        if ended >= MOST_WAITING:
            release.set()

    def endless() -> Iterator[int]:
        yield from range(2 * MOST_WAITING)
        assert release.is_set(), "it was waited for"

    side_by_side(loop, endless(), slow, lambda _: None, at_once=4)
    assert ended == 2 * MOST_WAITING


def test_the_first_error_ends_the_others_and_is_raised_once_they_have_ended(loop: Loop) -> None:
    ended: list[int] = []

    async def slow(number: int) -> None:
        if number == 3:
            raise ZeroDivisionError
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(number)

    with pytest.raises(ZeroDivisionError):
        side_by_side(loop, range(10 * CHUNK), slow, lambda _: None, at_once=4)
    assert sorted(ended) == [0, 1, 2]


def test_an_error_in_finding_or_noting_ends_it_too(loop: Loop) -> None:
    ended = threading.Event()

    async def slow(_: int) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    def things() -> Iterator[int]:
        yield from range(CHUNK)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        side_by_side(loop, things(), slow, lambda _: None, at_once=CHUNK)
    assert ended.is_set()


def test_an_error_in_noting_is_raised(loop: Loop) -> None:
    async def slow(number: int) -> int:
        return number

    with pytest.raises(ZeroDivisionError):
        side_by_side(loop, range(10 * CHUNK), slow, lambda number: 1 // number, at_once=4)


def test_hanging_up_interrupts_what_waits_and_what_is_started_later(loop: Loop) -> None:
    future = loop.start(asyncio.sleep(3600))
    loop.hang_up()
    with pytest.raises(Interrupted):
        future.result(60)
    with pytest.raises(Interrupted):
        loop.run(asyncio.sleep(0))


def test_a_loop_that_never_ran_is_closed_and_closed_twice() -> None:
    loop = Loop()
    loop.close()
    loop.close()


def test_what_runs_in_a_thread_has_ended_before_its_cancelling_is_felt(loop: Loop) -> None:
    begun, go_on = threading.Event(), threading.Event()
    log: list[str] = []

    def act() -> None:
        begun.set()
        go_on.wait(60)
        log.append("act")

    async def work() -> None:
        try:
            await in_thread(act)
        finally:
            log.append("cancelled")

    future = loop.start(work())
    begun.wait(60)
    loop.hang_up()
    go_on.set()
    with pytest.raises(Interrupted):
        future.result(60)
    assert log == ["act", "cancelled"]


@pytest.mark.parametrize("size", [1, LARGEST_INLINE_BYTES, LARGEST_INLINE_BYTES + 1, 300_000])
def test_pieces_are_absorbed_by_each_in_order_whatever_their_size(loop: Loop, size: int) -> None:
    absorbed: list[Piece] = []
    sizes: list[int] = []
    expected = [bytes([n]) * (size if n % 2 else 5) for n in range(20)]

    async def pieces() -> AsyncGenerator[bytes, None]:
        for piece in expected:
            yield piece

    loop.run(loop.pump(pieces(), absorbed.append, lambda piece: sizes.append(len(piece))))
    assert absorbed == expected
    assert sizes == [len(piece) for piece in expected]


LARGE = b"x" * (LARGEST_INLINE_BYTES + 1)


def test_one_who_absorbs_does_not_wait_for_the_other_nor_the_next_piece_for_both(loop: Loop) -> None:
    asked: list[int] = []
    third, other = threading.Event(), threading.Event()

    async def pieces() -> AsyncGenerator[bytes, None]:
        for n in range(3):
            asked.append(n)
            if n == 2:
                third.set()
            yield LARGE

    def absorb(piece: Piece) -> None:
        assert third.wait(60), "the third piece isn't asked for while the first is absorbed"
        assert other.wait(60), "the other waits for this one"

    loop.run(loop.pump(pieces(), absorb, lambda _: other.set()))


@pytest.mark.parametrize(("pumps", "most"), [(1, MOST_PIECES), (MOST_PIECES_IN_ALL // 4, 4)])
def test_no_more_pieces_are_under_way_than_the_share_of_each(loop: Loop, pumps: int, most: int) -> None:
    async def one(all_there: asyncio.Barrier) -> int:
        done = [0, 0]
        furthest = 0

        async def pieces() -> AsyncGenerator[bytes, None]:
            nonlocal furthest
            yield LARGE
            await all_there.wait()
            for n in range(1, 4 * MOST_PIECES):
                furthest = max(furthest, n - min(done))
                yield LARGE
            await all_there.wait()

        def absorb(which: int, piece: Piece) -> None:
            time.sleep(0.001 * which)
            done[which] += 1

        await loop.pump(pieces(), partial(absorb, 0), partial(absorb, 1))
        assert done == [4 * MOST_PIECES] * 2
        return furthest

    async def every() -> list[int]:
        all_there = asyncio.Barrier(pumps)
        return await asyncio.gather(*(one(all_there) for _ in range(pumps)))

    # Whichever is being asked for counts too.
    assert max(loop.run(every())) == most - 1


def test_a_piece_is_let_go_once_it_is_absorbed_though_others_are_under_way(loop: Loop) -> None:
    """Its memory may be wanted for the next."""
    memories = [bytearray(LARGE) for _ in range(8)]
    in_use: list[int] = []

    async def pieces() -> AsyncGenerator[Piece, None]:
        for memory in memories:
            yield memoryview(memory)

    def absorb(piece: Piece) -> None:
        in_use.append(sum(not _can_grow(memory) for memory in memories))

    def slow(piece: Piece) -> None:
        time.sleep(0.01)
        absorb(piece)

    loop.run(loop.pump(pieces(), slow))
    # At the end there is this one, and the one that was handed out last.
    assert in_use[-1] <= 2


def _can_grow(memory: bytearray) -> bool:
    try:
        memory.append(0)
    except BufferError:
        return False
    return True


def test_what_cannot_be_absorbed_ends_the_pump(loop: Loop) -> None:
    def full(piece: Piece) -> None:
        raise ZeroDivisionError

    async def pieces() -> AsyncGenerator[bytes, None]:
        while True:
            yield LARGE

    with pytest.raises(ZeroDivisionError):
        loop.run(loop.pump(pieces(), lambda _: None, full))


def test_nothing_is_absorbed_any_more_when_the_pump_has_been_interrupted(loop: Loop) -> None:
    absorbing, go_on = threading.Event(), threading.Event()
    log: list[str] = []

    async def pieces() -> AsyncGenerator[bytes, None]:
        while True:
            yield LARGE

    def absorb(piece: Piece) -> None:
        absorbing.set()
        go_on.wait(60)
        log.append("absorbed")

    async def work() -> None:
        try:
            await loop.pump(pieces(), absorb)
        finally:
            log.append("ended")

    future = loop.start(work())
    absorbing.wait(60)
    loop.hang_up()
    go_on.set()
    with pytest.raises(Interrupted):
        future.result(60)
    assert log == ["absorbed", "ended"]
