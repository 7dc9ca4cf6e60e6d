"""`purser audit`: check what runs leave behind, and hand it to others to check."""

from __future__ import annotations

import json as jsons
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.options import JsonFlag, RunArgument, user_path
from scripts.cli.session import say, session, settings_now
from scripts.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from scripts.audit.judge import Witness

__all__ = ["app"]

app = typer.Typer(help="Check what a run leaves behind, or hand it to others to check.", no_args_is_help=True)


@app.command()
def verify(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="the run's id")] = None,
    every: Annotated[bool, typer.Option("--all", help="every run, and that no two share a payment")] = False,
    json: JsonFlag = False,
) -> None:
    """Compute every hash of a run's trail again, and hold payments, jobs, books and trail against each other.

    With X402_RPC_URLS set, the payments are held against the chain as well.
    """
    if (run is None) is not every:
        raise typer.BadParameter("name one RUN, or --all", param_hint="RUN")
    checked = faulty = 0
    with session(json) as here:
        from scripts.audit.judge import audit_all, audit_run
        from scripts.view.runs import verdict, verdicts

        client, witness = here.client, _witness()
        for audited in audit_all(client, witness) if run is None else [audit_run(client, run, None, witness)]:
            checked, faulty = checked + 1, faulty + bool(audited.faults)
            here.answer(jsons.dumps(audited.as_json()), verdict(audited))
        if every and not json:
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


def _witness() -> Witness | None:
    """The chain, where a node is set."""
    settings = settings_now()
    if not settings.nodes:
        return None
    from scripts.audit.chain import ChainWitness

    return ChainWitness(settings)


@contextmanager
def _sink(output: Path | None) -> Iterator[TextIO]:
    """Where the lines go. A file appears under its name when it is whole, and not before."""
    if output is None:
        yield sys.stdout
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("w", encoding="ascii", newline="\n") as file:
            yield file
        part.replace(output)
    except OSError as exc:
        raise typer.BadParameter(f"cannot write {output}: {exc.strerror}", param_hint="--output") from exc
    finally:
        part.unlink(missing_ok=True)
