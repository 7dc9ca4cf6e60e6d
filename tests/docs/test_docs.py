"""What the documents say is true: diagrams, snippets, commands, links and tables."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.book.lifecycle import JOB, PAYMENT, RUN, diagram
from agent.process.environment import PLATFORMS
from agent.process.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("table", [RUN, JOB, PAYMENT])
def test_the_diagrams_are_those_of_the_tables(table: Any) -> None:
    """A changed table needs a changed picture."""
    assert f"```mermaid\n{diagram(table)}\n```" in (ROOT / "docs/architecture.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and picture is a file of the repository."""
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())

    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_into_a_page_lead_to_a_heading(page: Path) -> None:
    """By GitHub's rule for a heading's name."""
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        text = (page.parent / target if target else page).read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        names = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in names, f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_and_files_exist(page: Path) -> None:
    """What the documents tell people to type or to open is there."""
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    paths = re.findall(r"`((?:agent|api|x402|vendors|gpu_vendor_mock|scripts|tests|docs)/[\w./-]+\.\w+)`", text)
    test_names = re.findall(r"`([\w./]+\.py)::(test_\w+)`", text)

    assert set(re.findall(r"(?:^|`|    )make ([a-z-]+)", text, re.MULTILINE)) <= targets
    assert [path for path in paths if not (ROOT / path).exists()] == []
    for name, test in test_names:
        (found,) = [ROOT / name] if "/" in name else (ROOT / "tests").rglob(name)
        assert f"def {test}(" in found.read_text()


def test_every_command_of_the_docs_is_one() -> None:
    """`purser X` in a page is a command that explains itself."""
    said = set()
    for page in PAGES:
        said |= set(re.findall(r"(?:\./|`)purser ([a-z0-9]+)", page.read_text()))

    assert said >= {"audit", "init", "start", "vendors", "watch"}
    for command in sorted(said):
        done = subprocess.run(
            [ROOT / "purser", command, "--help"], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"purser {command}: {done.stderr}"


def test_the_readme_lists_every_setting() -> None:
    """By its name."""
    text = (ROOT / "README.md").read_text()
    internal = {"PURSER_CALLED_FROM", "VENDOR_SECRETS", *PLATFORMS}

    assert [name for name in map(str.upper, Settings.model_fields) if f"`{name}`" not in text] == sorted(
        internal, key=[name.upper() for name in Settings.model_fields].index
    )


def test_the_demos_picture_is_of_a_demo_that_went_well() -> None:
    """Drawn by `make picture`."""
    drawn = (ROOT / "docs/demo.svg").read_text()

    for word in ("gpu_vendor_1", "gpu_vendor_2", "switch", "verified"):
        assert word in drawn
