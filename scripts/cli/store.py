"""`purser init`: makes the database ready, and takes its operator's word on a restored one."""

from __future__ import annotations

import json as jsons
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.cli.options import JsonFlag, dollars_or_zero
from scripts.cli.session import failing, say, settings_now

if TYPE_CHECKING:
    from agent.process.settings import Settings
    from agent.store.collections import Database

__all__ = ["init"]


def init(
    restored: Annotated[
        bool, typer.Option("--restored", help="the database is a restored backup; with --spent-usd")
    ] = False,
    spent_usd: Annotated[
        int | None,
        typer.Option(
            parser=dollars_or_zero,
            metavar="USD",
            help="what the wallet has spent, or signed, since the backup; rather too much than too little",
        ),
    ] = None,
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="it was restored where it was, which it cannot see; once for each time"),
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Make the database's indexes, and tell a restored backup. Repeatable; to be run once after each upgrade.

    On a restored backup nothing is bought until --restored says what was spent since it was made. That counts
    against the limits of the wallet; with anything but 0, runs that are in the backup buy nothing more.
    """
    if restored is (spent_usd is None) or (in_place and not restored):
        raise typer.BadParameter("it goes with --spent-usd, and --in-place with both", param_hint="--restored")
    with failing(json):
        import asyncio

        from agent.book.errors import ConfigurationError
        from agent.book.models import INDEXES
        from scripts.view.text import plain

        settings = settings_now()
        if settings.mongodb_uri is None:
            if restored:
                raise ConfigurationError("MONGODB_URI is not set: name the database that was restored")
            if json:
                print(jsons.dumps({"database": None, "indexes": {}, "restored": None}))
            else:
                say("MONGODB_URI is not set: the embedded store needs no indexes, there is nothing to do")
            return
        why, counted = asyncio.run(_prepared(settings, spent_usd, in_place=in_place))
        name = settings.mongodb_db_name
        if json:
            made = {each: len(indexes) for each, indexes in INDEXES.items()}
            print(jsons.dumps({"database": name, "indexes": made, "restored": why}))
        else:
            told = filter(None, (f"indexes are in place in database {name}", counted, why))
            say(*map(plain, told))


async def _prepared(settings: Settings, spent: int | None, *, in_place: bool) -> tuple[str | None, str | None]:
    """Why nothing is bought on the database (None: it is no restored backup), and what was counted."""
    from agent.engine.restored import RestoreWatch, answer_for, notice_in_place
    from agent.process.world import real_world
    from agent.store import open_database
    from agent.store.runs import RunStore

    database, world, counted = open_database(settings), real_world(), None
    try:
        await RunStore(database).init()
        if spent is not None:
            wallet = await _payer(settings, database)
            if in_place:
                await notice_in_place(database, world)
            await answer_for(database, world, spent, wallet)
            counted = _counted(spent, wallet)
        held = await RestoreWatch(database, world).held()
        return None if held is None else held.why, counted
    finally:
        await database.close()


async def _payer(settings: Settings, database: Database) -> str:
    """The wallet that pays for the runs of this database.

    Raises:
        ConfigurationError: neither the settings say, nor has anything been paid.
    """
    from agent.book.errors import ConfigurationError
    from agent.store.mark import MarkStore
    from scripts.wallets import own_address

    if settings.has_wallet:
        return own_address(settings)
    if payer := await MarkStore(database).last_payer():
        return payer
    raise ConfigurationError(
        "nothing in the database says which wallet pays: set the one that the server has (X402_PRIVATE_KEY, "
        "X402_KEYSTORE or CDP_WALLET_ADDRESS)"
    )


def _counted(spent: int, wallet: str) -> str:
    from agent.book.money import usd_text

    if not spent:
        return "nothing was spent since the backup: its runs go on"
    return (
        f"{usd_text(spent)} USD count as spent by {wallet}; runs that are in the backup buy nothing more, and "
        "fail where they would"
    )
