"""How many requests are under way at once."""

from __future__ import annotations

import asyncio

import pytest

from supapy.project.pace import FIRST_AT_ONCE, Pace


async def answered(pace: Pace, times: int) -> None:
    for _ in range(times):
        await pace.enter()
        pace.kept_up()
        pace.leave()


def test_it_rises_to_the_most_while_the_server_keeps_up() -> None:
    pace = Pace(32)
    assert pace.allowed == FIRST_AT_ONCE
    asyncio.run(answered(pace, 1000))
    assert pace.allowed == 32


def test_it_falls_by_half_once_for_all_that_failed_together_and_rises_again() -> None:
    async def run() -> list[int]:
        pace = Pace(32)
        await answered(pace, 1000)
        seen = []
        for _ in range(20):
            pace.too_much()
        seen.append(pace.allowed)
        await answered(pace, 1)
        pace.too_much()
        seen.append(pace.allowed)
        await answered(pace, 1000)
        return [*seen, pace.allowed]

    assert asyncio.run(run()) == [16, 8, 32]


def test_one_is_always_let_through() -> None:
    async def run() -> int:
        pace = Pace(4)
        for _ in range(10):
            await answered(pace, 1)
            pace.too_much()
        await asyncio.wait_for(pace.enter(), 60)
        return pace.allowed

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize("most", [1, 3, 100])
def test_no_more_are_under_way_than_allowed_also_when_some_give_up_waiting(most: int) -> None:
    async def run() -> int:
        pace, under_way, highest = Pace(most), 0, 0

        async def one() -> None:
            nonlocal under_way, highest
            await pace.enter()
            under_way += 1
            highest = max(highest, under_way)
            assert under_way <= pace.allowed
            await asyncio.sleep(0)
            under_way -= 1
            pace.leave()

        tasks = [asyncio.create_task(one()) for _ in range(200)]
        await asyncio.sleep(0)
        for task in tasks[50:100]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return highest

    assert asyncio.run(run()) <= min(most, FIRST_AT_ONCE)
