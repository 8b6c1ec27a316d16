"""Keys over HTTP. Where there is none yet, `strop keys create` on the box makes the first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from strop.service.dependencies import ServiceHere
from strop.service.ids import PATTERN
from strop.service.problems import Problem, problems
from strop.service.schemas.operation import KeyAnswer, KeyList, KeyRequest, NewKeyAnswer
from strop.service.security.keys import ADMIN, make_key
from strop.service.security.scopes import require
from strop.service.store import keys
from strop.service.store.keys import Key
from strop.service.times import isoformat

router = APIRouter(tags=["keys"])
Administrator = Annotated[str, Depends(require("admin"))]
KeyId = Annotated[str, Path(pattern=f"^{PATTERN}$")]


@router.post("/keys", status_code=201, responses=problems("unacceptable"))
def create_key(body: KeyRequest, service: ServiceHere, _: Administrator, response: Response) -> NewKeyAnswer:
    """Make a key. The answer shows it, and nothing will again. From the first on, every route asks for one."""
    with service.database.transaction() as db:
        if ADMIN not in body.scopes and not keys.any_made(db):
            raise Problem("unacceptable", "the first key needs the scope admin: without it none could make the second")
        key, token = make_key(db, body.name, body.scopes)
    response.headers["Cache-Control"] = "no-store"
    return NewKeyAnswer(**_answer(key).model_dump(), key=token)


@router.get("/keys", responses=problems())
def list_keys(
    service: ServiceHere,
    _: Administrator,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(pattern=f"^{PATTERN}$")] = None,
) -> KeyList:
    """List keys, newest first, revoked ones too."""
    found = keys.page(service.database.read(), after, limit)
    return KeyList(data=[_answer(key) for key in found], next=found[-1].id if len(found) == limit else None)


@router.delete("/keys/{id}", responses=problems("not_found", "key_in_use"))
def revoke_key(id: KeyId, service: ServiceHere, caller: Administrator) -> KeyAnswer:
    """Revoke a key, from the next request on. It stays in the list, so that history can be read."""
    if id == caller:
        raise Problem("key_in_use", "a key cannot revoke itself: so one that may make others always remains")
    with service.database.transaction() as db:
        try:
            return _answer(keys.revoke(db, id))
        except KeyError:
            raise Problem("not_found", f"there is no key {id}; GET /keys lists them") from None


def _answer(key: Key) -> KeyAnswer:
    facts = {"id": key.id, "name": key.name, "scopes": list(key.scopes)}
    return KeyAnswer.model_validate({**facts, "created": isoformat(key.created), "revoked": isoformat(key.revoked)})
