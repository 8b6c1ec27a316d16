"""Learners by the names of their strategies, as a command line or a table of experiments has them.

| name | strategies |
|---|---|
| `naive` | none |
| `replay` | one of STRATEGIES |
| `ewc+replay` | several |
| `ewc:strength=1000,samples=200+replay` | with options of its own: the constructor's arguments |
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strop.host.continual.guard import Guard
from strop.host.continual.learned import LearnerSettings
from strop.host.continual.learner import Learner
from strop.host.continual.strategies import STRATEGIES, Joint, Strategy
from strop.host.model import Model
from strop.runtime.errors import InputError

NAIVE = Strategy.name
CALLED = {"capacity": "buffer"}  # options that `learner_for` calls by another name


@dataclass(frozen=True)
class Named:
    """A strategy by its name, and the options that stand behind it."""

    name: str
    options: Mapping[str, Any]

    @property
    def kind(self) -> type[Strategy]:
        """The strategy's class."""
        return STRATEGIES[self.name]

    def open_to(self, option: str) -> bool:
        """Whether the constructor takes `option`, and the name does not say it already."""
        return option in options_of(self.kind) and option not in self.options


def learner_for(
    model: Model,
    name: str,
    *,
    buffer: int | None = None,
    replay_batch: int | None = None,
    after: str | None = None,
    seed: int = 0,
    settings: LearnerSettings | None = None,
    guard: Guard | None = None,
) -> Learner:
    """Return a new learner of `model` under the strategies that `name` says; see this module for how names are built.

    buffer: samples that a memory keeps (the `capacity` of its strategy). replay_batch: of them, in each mini-batch.
    after: where the network is cut. Each is handed to those strategies whose constructor takes it; without it they have
    their own defaults. seed: of the strategies' draws. Joint training has the epochs of `settings`, so that it is the
    bound of what is trained as long. Raises InputError for names and options that there are not, for an option that no
    strategy of the name takes, and as `Learner`.
    """
    settings = settings or LearnerSettings()
    parts = parse(name)
    asked = {"capacity": buffer, "replay_batch": replay_batch, "after": after}
    given = {option: value for option, value in asked.items() if value is not None}
    for option in given:
        if not any(part.open_to(option) for part in parts):
            raise _not_taken(name, option, parts)
    strategies = []
    for part in parts:
        words = {**given, "seed": seed, **({"epochs": settings.epochs} if part.kind is Joint else {})}
        taken = {option: value for option, value in words.items() if part.open_to(option)}
        try:
            strategies.append(part.kind(**taken, **part.options))
        except InputError as error:
            raise InputError(f"strategy {name!r}: {error}") from error
    return Learner(model, *strategies, settings=settings, guard=guard)


def takes(name: str, option: str) -> bool:
    """Return whether a strategy in `name` takes `option`, a constructor's argument, and is not told it there already.

    Raises InputError as `parse`.
    """
    return any(part.open_to(option) for part in parse(name))


def parse(name: str) -> list[Named]:
    """Return the strategies that `name` says, none for "naive". Raises InputError for names that there are not."""
    if not isinstance(name, str):
        raise InputError(f"strategy {name!r} is no name; allowed: {_allowed()}")
    if name == NAIVE:
        return []
    parts = [_parsed(part, name) for part in name.split("+")]
    names = [part.name for part in parts]
    for each in names:
        if names.count(each) > 1:
            raise InputError(f"strategy {name!r} has {each} twice; leave one out")
    return parts


def options_of(kind: type[Strategy]) -> list[str]:
    """Return the names of a strategy's options."""
    return list(inspect.signature(kind).parameters)


def _parsed(part: str, name: str) -> Named:
    which, told, rest = part.partition(":")
    if which == NAIVE:
        raise InputError(f"strategy {name!r}: {NAIVE} means none, and stands alone")
    if which not in STRATEGIES:
        inside = "" if part == name else f" in {name!r}"
        raise InputError(f"strategy {which!r}{inside} is unknown; allowed: {_allowed()}")
    known, options = options_of(STRATEGIES[which]), {}
    for pair in rest.split(",") if told else ():
        option, equals, value = pair.partition("=")
        if not equals or option not in known:
            allowed = f"{', '.join(known)}, each as option=value" if known else "none"
            raise InputError(f"strategy {name!r}: {pair!r} is no option of {which}; allowed: {allowed}")
        options[option] = _value(value)
    return Named(which, options)


def _value(text: str) -> int | float | str:
    """Return a number where the text is one; what an option allows, the strategy itself says."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _not_taken(name: str, option: str, parts: list[Named]) -> InputError:
    called = CALLED.get(option, option)
    for part in parts:
        if option in part.options:
            return InputError(f"strategy {name!r} says {option}={part.options[option]} itself; leave {called} out")
    takers = [each for each, kind in STRATEGIES.items() if option in options_of(kind)]
    return InputError(f"strategy {name!r} takes no {called}; those that do: {', '.join(takers)}. Leave {called} out")


def _allowed() -> str:
    return f"{', '.join(STRATEGIES)}, and several with + between them, as ewc+replay"
