from __future__ import annotations

from uuid import UUID

from supapy.parts.auth.ids import Ids

MANY = [str(UUID(int=number * 0x1_0000_0001)) for number in range(50_000)]


def test_ids_hold_what_was_put_in_and_nothing_else() -> None:
    ids = Ids(MANY[::2])
    assert sorted(ids) == sorted(MANY[::2])
    assert len(ids) == len(MANY) // 2
    assert [one in ids for one in MANY] == [True, False] * (len(MANY) // 2)


def test_the_same_id_counts_once_and_is_told() -> None:
    ids = Ids()
    assert [ids.add(one) for one in (MANY[1], MANY[2], MANY[1], MANY[1].upper())] == [True, True, False, False]
    assert len(ids) == 2


def test_what_is_no_uuid_is_kept_as_it_is() -> None:
    ids = Ids(["17", "nobody", "17"])
    assert sorted(ids) == ["17", "nobody"]
    assert "nobody" in ids
    assert "somebody" not in ids
    assert 17 not in ids
