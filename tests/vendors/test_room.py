"""What vendors' answers hold in memory is bounded over all of them, and of one vendor."""

from __future__ import annotations

import json

import pytest

from tests.vendors.samples import REPORT, a_vendor
from tests.vendors.server import ScriptedVendor, reply
from vendors.client import VendorClient
from vendors.errors import VendorError
from vendors.room import FREE, Room


def test_one_vendor_has_a_part_of_what_there_is() -> None:
    """What is given back can be taken again."""
    room = Room(of_all=100, of_one=60)
    assert room.take("a", 60)
    assert not room.take("a", 1)
    assert room.take("b", 40)
    assert not room.take("b", 1)
    room.give("a", 60)
    assert not room.take("b", 21)
    assert room.take("b", 20)


async def test_without_room_the_beginning_of_a_report_counts(client: VendorClient, server: ScriptedVendor) -> None:
    """Its state is there; the rest is left out, and said to be. A quote must come whole."""
    client._room = Room(of_all=100_000, of_one=100_000)
    long = {**REPORT, "status": "completed", "logs": ["x" * 1_000] * 400}
    server.answers(reply(200, long))
    report = await client.status(a_vendor(server.url), "job_1", within=5)
    assert (report.status, report.left_out[-1][:23]) == ("completed", "what comes after the fi")
    assert 0 < len(report.logs) < 400

    server.answers(*[reply(200, {"vendorJobTemplateId": "t", "filler": "x" * 400_000})] * 3)
    with pytest.raises(VendorError):
        await client.quote(a_vendor(server.url), job_type="a", gpu_type="A100", max_hours=1, within=5)


async def test_room_is_given_back_whatever_comes_of_an_answer(
    client: VendorClient, server: ScriptedVendor
) -> None:
    client._room = Room(of_all=FREE, of_one=FREE)
    body = json.dumps({**REPORT, "logs": ["x" * 1_000] * 100}).encode()
    for answer in (reply(200, body), reply(200, body[:-40]), reply(404, body), reply(200, body)):
        server.answers(answer)
        try:
            await client.status(a_vendor(server.url), "job_1", within=5)
        except VendorError:
            continue
    assert client._room.take("gpu_vendor_1", FREE)
