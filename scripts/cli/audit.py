"""`purser audit`: check what runs leave behind, and hand it to others to check."""

from __future__ import annotations

import json as jsons
import os
import re
import secrets
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from scripts.cli.options import JsonFlag, RunArgument, user_path
from scripts.cli.session import failing, say, session, settings_now
from scripts.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from scripts.audit.judge import Audited, Witness
    from scripts.audit.kept import Kept

__all__ = ["app"]

app = typer.Typer(help="Check what a run leaves behind, or hand it to others to check.", no_args_is_help=True)

_RUN_ID: Final = re.compile("[0-9a-f]{24}")

Against = Annotated[
    Path | None, typer.Option("--against", metavar="OLDER", help="an older export, or a list of purser audit root")
]


@app.command()
def verify(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN|FILE", help="the run's id, or an export of it (needs no server)")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="every run, and that no two share a payment")] = False,
    against: Against = None,
    json: JsonFlag = False,
) -> None:
    """Compute every hash of a run's trail again, and hold payments, jobs, books and trail against each other.

    With X402_RPC_URLS set, the payments of a RUN are held against the chain as well. With --against, a history
    that was rewritten since OLDER is found.
    """
    if (run is None) is not every:
        raise typer.BadParameter("name one RUN or FILE, or --all", param_hint="RUN")
    kept = _kept(against)
    checked = faulty = 0
    for audited in _audited(run, kept, json):
        checked, faulty = checked + 1, faulty + bool(audited.faults)
        _tell(audited, json)
    if every and not json:
        from scripts.view.runs import verdicts

        say(verdicts(checked, faulty))
    if faulty:
        raise typer.Exit(Exit.FAILED)


@app.command()
def export(
    run: RunArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="write there, not to stdout")] = None,
    json: JsonFlag = False,
) -> None:
    """Write a run's trail, payments and jobs as JSON Lines that anyone can verify: see docs/audit.md."""
    with session(json) as here:
        from scripts.audit.export import Plain, export_lines
        from scripts.client.shapes import read_plainly

        reply = here.client.snapshot(run)
        trail = here.client.trail(run, reply.value.run.audit.seq)
        with _sink(output and user_path(output)) as file:
            for line in export_lines(read_plainly(Plain, reply.text), trail):
                file.write(line + "\n")


@app.command()
def root(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="write the heads there, for verify --all --against")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Print one hash over the heads of all runs, to be kept where nobody who writes to the database can write.

    Where to keep it, and what it shows later: see docs/audit.md.
    """
    with session(json) as here:
        from scripts.audit.heads import root_of
        from scripts.view.runs import root_view

        found = root_of(here.client)
        if output is not None:
            with _sink(user_path(output)) as file:
                file.write(found.heads)
        here.answer(jsons.dumps(found.as_json()), root_view(found))
    if found.unreadable:
        raise typer.Exit(Exit.FAILED)


def _audited(run: str | None, kept: Kept | None, json: bool) -> Iterator[Audited]:
    """The runs that were asked for, judged: from the server, or one from a file."""
    if run is not None and not _RUN_ID.fullmatch(run):
        yield _from_file(run, kept, json)
        return
    with session(json) as here:
        from scripts.audit.judge import audit_all, audit_run

        if run is None:
            yield from audit_all(here.client, _witness(), kept)
        else:
            _must_know(kept, run)
            yield audit_run(here.client, run, None, _witness(), kept)


def _from_file(name: str, kept: Kept | None, json: bool) -> Audited:
    with failing(json):
        from scripts.audit.judge import judge_export

        try:
            with user_path(name).open("rb") as file:
                audited = judge_export(file, name, kept)
        except OSError as exc:
            why = f"{name} is neither a run's id (24 hex digits) nor a file that can be read: {exc.strerror}"
            raise typer.BadParameter(why, param_hint="RUN") from exc
        if not audited.faults:
            _must_know(kept, audited.run_id)
        return audited


def _kept(against: Path | None) -> Kept | None:
    if against is None:
        return None
    from scripts.audit.exported import Malformed
    from scripts.audit.kept import read_kept

    try:
        return read_kept(user_path(against))
    except (OSError, Malformed) as exc:
        why = f"{against} is nothing to compare with: {exc.strerror if isinstance(exc, OSError) else exc}"
        raise typer.BadParameter(why, param_hint="--against") from exc


def _must_know(kept: Kept | None, run_id: str) -> None:
    """What says nothing of a run shows nothing about it, which must not look like a check that went well."""
    if kept is not None and run_id not in kept.trails:
        raise typer.BadParameter(f"{kept.name} says nothing of run {run_id}", param_hint="--against")


def _tell(audited: Audited, json: bool) -> None:
    from scripts.view.runs import verdict

    if json:
        print(jsons.dumps(audited.as_json()))
    else:
        say(verdict(audited))


def _witness() -> Witness | None:
    """The chain, where a node is set."""
    settings = settings_now()
    if not settings.nodes:
        return None
    from scripts.audit.chain import ChainWitness

    return ChainWitness(settings)


@contextmanager
def _sink(output: Path | None) -> Iterator[TextIO]:
    """Where the lines go. A file appears under its name when it is whole, and not before; a link is replaced."""
    if output is None:
        yield sys.stdout
        return
    from agent.process.private_files import open_private

    if output.exists() and not output.is_file():
        raise typer.BadParameter(f"{output} is no file", param_hint="--output")
    part = output.with_name(f"{output.name}.{secrets.token_hex(8)}.part")
    try:
        new = open_private(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with open(new, "w", encoding="ascii", newline="\n") as file:
            yield file
        part.replace(output)
    except OSError as exc:
        raise typer.BadParameter(f"cannot write {output}: {exc.strerror}", param_hint="--output") from exc
    finally:
        part.unlink(missing_ok=True)
