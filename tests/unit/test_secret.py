"""A secret shows itself to nobody who doesn't ask for it by name."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest

from supapy.secret import Secret

TEXT = "open-sesame-0123456789"


@pytest.fixture
def secret() -> Secret:
    return Secret(TEXT)


def test_it_gives_its_text_to_who_asks(secret: Secret) -> None:
    assert secret.reveal() == TEXT


def test_nothing_else_shows_it(secret: Secret, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("%s %r", secret, secret)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", "{:s}".format(secret), "%s" % secret]  # noqa: UP031, UP032
    shown += [secret.masked(), repr([secret]), repr({secret: secret}), caplog.text, str(vars(type(secret)))]
    assert not any(TEXT in one or TEXT[:6] in one for one in shown)


def test_a_traceback_with_it_does_not_show_it(secret: Secret) -> None:
    try:
        raise ValueError(secret)
    except ValueError as error:
        said = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert TEXT not in said.replace(repr(TEXT), "")


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_it_can_not_be_carried_away(secret: Secret, way: object) -> None:
    with pytest.raises(TypeError):
        way(secret)  # type: ignore[operator]


def test_equal_texts_are_equal_secrets_and_a_text_is_none() -> None:
    assert Secret("a") == Secret("a")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a") != "a"


def test_an_empty_one_is_false_and_says_so() -> None:
    assert not Secret("")
    assert Secret("").masked() == "(empty)"


def test_masked_tells_two_secrets_apart() -> None:
    assert Secret("a" * 40).masked() != Secret("b" * 40).masked()
