"""docs/mock-vendor.md says what there is, all of it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from pydantic.alias_generators import to_camel

from gpu_vendor_mock.faults import Endpoint, FaultName, parse_faults
from gpu_vendor_mock.journal import FaultFired, JobStarted, Presented, Refusal, Settled
from gpu_vendor_mock.settings import Settings

_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "mock-vendor.md").read_text(encoding="utf-8")


def _first_cells(heading: str) -> list[str]:
    """The code in the first column of the table under a heading."""
    section = _PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_each_variable_is_documented() -> None:
    """No more and no fewer than the settings have."""
    assert sorted(_first_cells("Run it")) == sorted(name.upper() for name in Settings.model_fields)


def test_each_fault_is_documented_by_an_example_that_can_be_used() -> None:
    """In the order in which they are defined, each as one would write it."""
    examples = [parse_faults(cell) for cell in _first_cells("Faults")]
    assert [fault.name for (fault,) in examples] == list(FaultName)
    aims = _PAGE.partition("`http_500` and `malformed_json` take ")[2].splitlines()[0]
    assert all(f"`{endpoint}`" in aims for endpoint in Endpoint)


def test_the_journal_is_documented_field_by_field() -> None:
    """Tests and tools are written against these names."""
    lists = {
        "settlements": Settled,
        "jobs": JobStarted,
        "payments": Presented,
        "refusals": Refusal,
        "faults": FaultFired,
    }
    for name, entry in lists.items():
        fields = " ".join(to_camel(field.name) for field in dataclasses.fields(entry))
        assert re.search(rf"^    {name} +{fields}(  |$)", _PAGE, re.MULTILINE), name
