"""`strop keys create|list|revoke`: who may do what, written straight into the data folder, also while it is served."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from strop.host.cli.arguments import Commands, add_command, names
from strop.host.cli.exit_codes import OK
from strop.host.cli.output import Output
from strop.runtime.errors import InputError
from strop.service.cli.remote import service_packages
from strop.service.cli.settings import add_settings, read_settings
from strop.service.times import isoformat

if TYPE_CHECKING:
    from strop.service.settings import Settings
    from strop.service.store.database import Database
    from strop.service.store.keys import Key

PAGE = 200
EXAMPLE = """examples:
  strop keys create laptop --scopes train,predict
  strop keys list --data /var/lib/strop
  strop keys revoke key_01hq5c3v9kabcdefghjkmn"""
HELP = {
    "create": "make a key and show it once; from the first on, every request needs one",
    "list": "list keys, newest first, revoked ones too",
    "revoke": "let a key be good no more, from the next request on",
}


def add_parser(commands: Commands) -> None:
    """Add `strop keys` and what it can do."""
    parser = add_command(commands, "keys", "make and revoke the keys of this machine's service", EXAMPLE, run)
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    made = {name: add_command(actions, name, text, _example_of(name), run) for name, text in HELP.items()}
    made["create"].add_argument("name", metavar="NAME", help="whose it is, for the list")
    made["create"].add_argument(
        "--scopes", type=names, required=True, metavar="A,B", help="of predict, samples, train and admin, which is all"
    )
    made["revoke"].add_argument("id", metavar="KEY", help="its id, as `strop keys list` shows it")
    for action in made.values():
        add_settings(action, "data")


def _example_of(action: str) -> str:
    return "\n".join(["example:", *(line for line in EXAMPLE.splitlines() if f"keys {action}" in line)])


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do what the action says; return the exit code."""
    settings = read_settings(arguments)
    if arguments.action == "create":
        return _create(settings, arguments, output)
    database = _database(settings)
    try:
        return _list(database, output) if arguments.action == "list" else _revoke(database, arguments.id, output)
    finally:
        database.close()


def _create(settings: Settings, arguments: argparse.Namespace, output: Output) -> int:
    with service_packages():
        from strop.service.security.keys import make_key
        from strop.service.store.database import Database
    database = Database(settings.database)  # made if need be: a key may come before the first start
    try:
        with database.transaction() as db:
            key, token = make_key(db, arguments.name, arguments.scopes)
    finally:
        database.close()
    output.line(token)
    output.note(f"{key.id} ({', '.join(key.scopes)}): keep the line above, it is shown only now")
    output.document("strop.new-key/1", {**_facts(key), "key": token})
    return OK


def _list(database: Database, output: Output) -> int:
    from strop.service.store import keys

    found: list[Key] = []
    while page := keys.page(database.read(), found[-1].id if found else None, PAGE):
        found += page
    facts = [_facts(key) for key in found]
    rows = [(f["id"], f["name"], ", ".join(f["scopes"]), f["created"], f["revoked"] or "") for f in facts]
    output.table(("key", "name", "scopes", "created", "revoked"), rows)
    output.document("strop.keys/1", {"keys": facts})
    return OK


def _revoke(database: Database, id: str, output: Output) -> int:
    from strop.service.store import keys

    try:
        with database.transaction() as db:
            facts = _facts(keys.revoke(db, id))
    except KeyError:
        raise InputError(f"there is no key {id}; `strop keys list` lists them") from None
    output.line(f"{id} is revoked")
    output.document("strop.key/1", facts)
    return OK


def _database(settings: Settings) -> Database:
    with service_packages():
        from strop.service.store.database import Database
    path = settings.database
    if not path.is_file():
        raise InputError(
            f"{settings.data} is no data folder of a service: there is no {path.name}; name one with --data"
        )
    return Database(path)


def _facts(key: Key) -> dict[str, Any]:
    facts = {"id": key.id, "name": key.name, "scopes": list(key.scopes)}
    return {**facts, "created": isoformat(key.created), "revoked": isoformat(key.revoked)}
