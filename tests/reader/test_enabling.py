"""`enable`, `disable`, `install`, `accelerate` and the environment variable; and other code that
replaces `tgread_object`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from telethon.extensions import BinaryReader

from support.clients import MakeClient, meet, sign_in
from support.loopback import DataCentres, World
from support.programs import command
from support.tl_outcomes import THEIRS, both, difference, read, reading
from support.tl_samples import SAMPLE, page
from telethon_session_rust import install, tl_reader, uninstall

VARIABLE = "TELETHON_SESSION_RUST_READER"
ON = ["enable", "twice", "again", "install", "accelerate"]
OFF = ["import", "disable", "install without", "install, uninstall", "uninstall", "accelerate without"]


@pytest.fixture(autouse=True)
def disabled() -> Iterator[None]:
    tl_reader.disable()
    yield
    tl_reader.disable()
    BinaryReader.tgread_object = THEIRS


def outcome_of(way: str, **environment: str) -> dict[str, Any]:
    result = subprocess.run(
        command("reader_settings", way), env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    found = json.loads(result.stdout)
    # Telethon before 1.28 has no entity cache, of which `accelerate` warns.
    found["lines"] = [line for line in found["lines"] if "EntityCache" not in line]
    return found


@pytest.mark.parametrize("way", [*ON, *OFF])
def test_ways_to_enable(way: str) -> None:
    found = outcome_of(way)
    is_on = way in ON
    assert (found["is_enabled"], found["reader"]) == (is_on, "ours" if is_on else "Telethon's")
    assert found["lines"] == []
    assert all(result in (True, None) for result in found["returned"])


@pytest.mark.parametrize("way", ON)
def test_the_environment_variable_switches_it_off(way: str) -> None:
    found = outcome_of(way, **{VARIABLE: "0"})
    assert (found["is_enabled"], found["reader"]) == (False, "Telethon's")
    # As asked, so there is nothing to warn about.
    assert found["lines"] == []
    if "enable" in way:
        assert found["returned"] == [False]
    assert outcome_of(way, **{VARIABLE: "1"})["is_enabled"]


@pytest.mark.parametrize("way", ["replaced", "replaced, install"])
def test_a_reader_that_is_not_telethons_stays(way: str) -> None:
    found = outcome_of(way)
    assert not found["is_enabled"]
    assert found["reader"] == "somebody else's"
    (line,) = found["lines"]
    assert "BinaryReader" in line or "tgread_object" in line
    if "install" not in way:
        assert found["returned"][1] is False


def test_a_method_that_was_changed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called, whether ours can be enabled or not."""
    original, positions = BinaryReader.read_long, []

    def read_long(self: BinaryReader, signed: bool = True) -> int:
        positions.append(self.tell_position())
        return original(self, signed)

    monkeypatch.setattr(BinaryReader, "read_long", read_long)
    sides = []
    for switch in (tl_reader.disable, tl_reader.enable):
        switch()
        sides.append(([read(data) for data in SAMPLE * 3], positions.copy()))
        positions.clear()
    assert not any(difference(*outcomes) for outcomes in zip(sides[0][0], sides[1][0], strict=True))
    assert sides[0][1] == sides[1][1]


def test_only_one_attribute_changes() -> None:
    before = dict(vars(BinaryReader))
    with reading(ours=True):
        assert {name for name, value in vars(BinaryReader).items() if before.get(name) is not value} == {
            "tgread_object"
        }
        assert list(vars(BinaryReader)) == list(before)
        ours = BinaryReader.tgread_object
        for name in ("__name__", "__qualname__", "__doc__"):
            assert getattr(ours, name) == getattr(THEIRS, name), name
    assert dict(vars(BinaryReader)) == before


def test_a_wrapper_around_ours_survives() -> None:
    """Other code replaces `tgread_object` by a function that calls ours, which is then disabled,
    and enabled again.
    """
    assert tl_reader.enable()
    ours, calls = BinaryReader.tgread_object, []

    def wrapper(self: BinaryReader) -> Any:
        calls.append(self.tell_position())
        return ours(self)

    BinaryReader.tgread_object = wrapper
    outcomes = []
    for change in (lambda: None, tl_reader.disable, tl_reader.disable, tl_reader.enable, uninstall, install):
        change()
        assert BinaryReader.tgread_object is wrapper, change
        calls.clear()
        outcomes.append(([read(data) for data in SAMPLE], calls.copy()))
    BinaryReader.tgread_object = THEIRS
    expected = [read(data) for data in SAMPLE]
    for result, made in outcomes:
        assert made
        for theirs, now in zip(expected, result, strict=True):
            found = difference(theirs, now)
            assert not found, found
    assert not difference(*next(iter(both([(page(), 1)]))))


async def test_a_client_reads_with_it(telegram: DataCentres, new_client: MakeClient) -> None:
    install()
    assert tl_reader.is_enabled()
    try:
        account = telegram.new_user()
        client = await sign_in(new_client(), account)
        crowd = World().crowd(300)
        await meet(client, telegram, account, crowd)
        for entity in (*crowd.users, *crowd.chats):
            assert await client.get_input_entity(entity.id) is not None
        await client.log_out()
    finally:
        uninstall()
    assert not tl_reader.is_enabled()


async def test_disabled_and_enabled_while_a_client_runs(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(), account)
    for number, change in enumerate([tl_reader.enable, tl_reader.disable] * 3):
        change()
        await meet(client, telegram, account, World().crowd(40, 40 * number))
        assert (await client.get_me()).id == account.id
