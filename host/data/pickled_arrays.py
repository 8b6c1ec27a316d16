"""Plain data and numpy arrays from a pickle, without running it: an interpreter of the opcodes that such data need.

`pickle.load` calls whatever a file names. Here nothing can be called: a pickle that names anything but the three
globals of a numpy array (and `_codecs.encode`, by which Python 3 writes bytes for Python 2) is refused by that name.
Opcodes are those of protocols 2 to 4 (`pickletools` describes each); text that Python 2 wrote comes out as bytes.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from strop.runtime.errors import DataError

_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_UNSIGNED_BYTE = (("u1", b"u1"), ("|", b"|"))
_MARK = object()
_VALUES = {  # opcodes that push their argument
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINSTRING", "BINSTRING", "SHORT_BINBYTES", "BINBYTES",
    "BINBYTES8", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class _Global:
    """A name that the pickle would have imported."""

    name: str


class _Dtype:
    """A dtype that is being put together; only unsigned bytes are wanted."""

    def __init__(self, code: Any) -> None:
        self.is_bytes = code in _UNSIGNED_BYTE[0]

    def build(self, state: Any) -> None:
        self.is_bytes = self.is_bytes and isinstance(state, tuple) and len(state) > 1 and state[1] in _UNSIGNED_BYTE[1]


class _Array:
    """An array that is being put together; `pixels` is it, once its state has come."""

    def __init__(self) -> None:
        self.pixels: Any = None

    def build(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or not dtype.is_bytes:
            raise ValueError("an array of another type than unsigned bytes")
        if not isinstance(shape, tuple) or not all(type(length) is int and length >= 0 for length in shape):
            raise ValueError("an array whose shape is none")  # not shown: it may nest endlessly
        if not isinstance(data, bytes) or len(data) != math.prod(shape):
            raise ValueError(f"an array of the shape {shape} with other than {math.prod(shape)} bytes of data")
        self.pixels = np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


def read_pickled(where: str, data: bytes) -> dict[Any, Any]:
    """Return the dictionary that `data` pickles: plain values, lists, and arrays uint8, read-only.

    Keys and text of Python 2 are bytes. Raises DataError, with `where`, for a pickle of anything else, for one that
    would call something, and for one that breaks off. Memory and time are in proportion to `data`.
    """
    machine = _Machine(len(data))
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
            machine.step(opcode.name, argument)
        found = machine.stack[-1]
    except _Refused as error:
        raise DataError(f"{where}: {error}; take the file of the data set's own archive") from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise DataError(f"{where}: is no pickle of a data set, or is damaged: {error}; restore the file") from error
    if not isinstance(found, dict):
        raise DataError(f"{where}: pickles a {type(found).__name__}; a batch is a dictionary")
    return {key: value.pixels if isinstance(value, _Array) else value for key, value in found.items()}


class _Refused(Exception):
    """The pickle asks for more than data."""


class _Machine:
    """The stack and the memo of a pickle; nothing that lies on them can be called."""

    def __init__(self, encoded_bytes: int) -> None:
        self.stack: list[Any] = []
        self._left_bytes = encoded_bytes  # that may be encoded: one text could be encoded again and again
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Do one opcode."""
        if name in _VALUES:
            # pickletools reads the text of Python 2 as latin-1
            self.stack.append(argument.encode("latin-1") if name.endswith("BINSTRING") else argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            self._push_tuple(_TUPLES[name])
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self._memo[argument])
        elif name not in ("PROTO", "FRAME", "STOP"):
            action = getattr(self, f"_{name.lower()}", None)
            if action is None:
                raise _Refused(f"the pickle has the opcode {name}, which no batch of images needs")
            action(argument)

    def _push_tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError("a tuple of more than there is")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)

    def _since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise IndexError("no mark")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _append(self, _: Any) -> None:
        item = self.stack.pop()
        self._top(list).append(item)

    def _appends(self, _: Any) -> None:
        items = self._since_mark()
        self._top(list).extend(items)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set(key, value)

    def _setitems(self, _: Any) -> None:
        items = self._since_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set(key, value)

    def _set(self, key: Any, value: Any) -> None:
        if not isinstance(key, (bytes, str)):  # hashing a nested tuple could take for ever
            raise ValueError("a key that is no text")
        self._top(dict)[key] = value

    def _top(self, kind: type[Any]) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise TypeError(f"a {type(self.stack[-1]).__name__} where a {kind.__name__} belongs")
        return self.stack[-1]

    def _global(self, argument: str) -> None:
        self.stack.append(_allowed(*argument.split(" ", 1)))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError("a global without a name")
        self.stack.append(_allowed(module, name))

    def _reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise _Refused("the pickle calls something that is no part of a numpy array")
        if function.name == "array":
            self.stack.append(_Array())
        elif function.name == "dtype":
            self.stack.append(_Dtype(arguments[0]))
        elif function.name == "encode" and len(arguments) == 2 and arguments[1] == "latin1":
            self._left_bytes -= len(arguments[0])
            if self._left_bytes < 0:
                raise _Refused("the pickle encodes more text than it holds")
            self.stack.append(arguments[0].encode("latin-1"))
        elif function.name == "bytes" and arguments == ():
            self.stack.append(b"")
        else:
            raise _Refused("the pickle calls something that is no part of a numpy array")

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (_Array, _Dtype)):
            raise _Refused("the pickle sets the state of something that is no numpy array")
        self.stack[-1].build(state)


def _allowed(module: str, name: str) -> _Global:
    """Return what stands for a global of a numpy array; any other one is refused, unimported."""
    if module in _ARRAY_MODULES and name == "_reconstruct":
        return _Global("array")
    if module == "numpy" and name in ("ndarray", "dtype"):
        return _Global(name)
    if (module, name) == ("_codecs", "encode"):
        return _Global("encode")
    if (module, name) in (("__builtin__", "bytes"), ("builtins", "bytes")):
        return _Global("bytes")
    raise _Refused(f"the pickle wants {module}.{name}: only plain values and numpy arrays are read, nothing is called")
