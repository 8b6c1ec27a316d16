"""What a disk may hold after a power cut: a model of files and folders that is fed with a program's system calls.

After a cut, of what was not synced nothing need be there, or any part of it, in any order. A file's bytes are safe
after an fsync of the file, its name after one of its folder. That is what POSIX promises; most file systems do better.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512  # bytes that a disk writes whole
TRACED = "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,unlink,mkdir"
LINE = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")
MARK = -7  # a write to this descriptor fails, and so is only seen in the trace


@dataclass
class _File:
    data: bytearray = field(default_factory=bytearray)
    safe: bytes = b""
    pending: list[tuple[int, bytes]] = field(default_factory=list)  # writes since the last fsync
    folder: bool = False

    def write(self, offset: int, data: bytes) -> None:
        _put(self.data, offset, data)
        self.pending.append((offset, data))

    def truncate(self, size: int) -> None:
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))

    def sync(self) -> None:
        self.safe, self.pending = bytes(self.data), []


class Disk:
    """Files below `root` after some of a trace's calls: as the program sees them, and what of them is safe."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._names: dict[str, _File] = {}
        self._safe: dict[str, _File] = {}
        self._pending: list[tuple[str, _File | None]] = []  # names that changed since their folder was synced
        self._open: dict[int, tuple[str, _File, int]] = {}

    def apply(self, call: str, arguments: str, result: int) -> bool:
        """Do what a system call did; return whether it changed what a power cut may leave."""
        if result < 0:
            return False
        if call == "openat":
            return self._opened(arguments, result)
        if call in ("rename", "unlink", "mkdir"):
            paths = [text for text in _strings(arguments) if self._inside(text)]
            if paths:
                self._renamed(call, paths)
            return bool(paths)
        descriptor = int(arguments.partition(",")[0])
        if descriptor not in self._open:
            return False
        path, file, position = self._open[descriptor]
        if call in ("fsync", "fdatasync"):
            self._synced(path, file)
        elif call == "ftruncate":
            file.truncate(int(arguments.rpartition(",")[2]))
        else:
            data = _bytes(arguments)[:result]
            if call == "pwrite64":
                file.write(int(arguments.rpartition(",")[2]), data)
            else:
                file.write(position, data)
                self._open[descriptor] = (path, file, position + result)
        return True

    def kept(self) -> dict[str, bytes | None]:
        """Return everything, as a killed program leaves it: bytes by path, None for a folder."""
        return {path: None if file.folder else bytes(file.data) for path, file in self._names.items()}

    def lost(self) -> dict[str, bytes | None]:
        """Return only what is safe."""
        return _reachable({path: None if file.folder else file.safe for path, file in self._safe.items()}, self._root)

    def torn(self, chance: random.Random) -> dict[str, bytes | None]:
        """Return what is safe and some of the rest; of the last writes perhaps only the first sectors."""
        names = dict(self._safe)
        for path, file in self._pending:
            if chance.random() < 0.5:
                _name(names, path, file)
        content: dict[str, bytes | None] = {}
        for path, file in names.items():
            data = bytearray(file.safe)
            for offset, written in file.pending:
                if chance.random() < 0.5:
                    whole = chance.random() < 0.5
                    _put(
                        data, offset, written if whole else written[: chance.randrange(len(written)) // SECTOR * SECTOR]
                    )
            content[path] = None if file.folder else bytes(data)
        return _reachable(content, self._root)

    def _inside(self, path: str) -> bool:
        return path == self._root or path.startswith(self._root + "/")

    def _opened(self, arguments: str, descriptor: int) -> bool:
        self._open.pop(descriptor, None)
        path = _strings(arguments)[0]
        if not self._inside(path) or path.endswith("-shm"):  # SQLite's shared memory: made afresh after a cut
            return False
        new = path not in self._names and path != self._root
        if new:
            self._change(path, _File())
        file = _File(folder=True) if path == self._root else self._names[path]
        if "O_TRUNC" in arguments:
            file.truncate(0)
        self._open[descriptor] = (path, file, 0)
        return new

    def _renamed(self, call: str, paths: list[str]) -> None:
        if call == "mkdir":
            if paths[0] != self._root:
                self._change(paths[0], _File(folder=True))
        elif not paths[0].endswith("-shm"):
            file = self._names[paths[0]]
            self._change(paths[0], None)
            if call == "rename":
                self._change(paths[1], file)

    def _change(self, path: str, file: _File | None) -> None:
        _name(self._names, path, file)
        self._pending.append((path, file))

    def _synced(self, path: str, file: _File) -> None:
        if not file.folder:
            file.sync()
            return
        for changed, what in self._pending:
            if changed.rpartition("/")[0] == path:
                _name(self._safe, changed, what)
        self._pending = [each for each in self._pending if each[0].rpartition("/")[0] != path]


def read_trace(trace: Path) -> Iterator[tuple[str, str, int]]:
    """Yield (call, arguments, result) of what `strace -s 100000000 -e trace=TRACED -o trace` wrote."""
    for line in trace.read_text(encoding="latin-1").splitlines():
        match = LINE.match(line)
        if match is not None:
            yield match[1], match[2], int(match[3])


def marked(call: str, arguments: str) -> str | None:
    """Return what the program said by a write to the descriptor `MARK`, None for any other call."""
    if call == "write" and arguments.startswith(f"{MARK},"):
        return _bytes(arguments).decode()
    return None


def write_files(content: dict[str, bytes | None], root: str, target: Path) -> None:
    """Make the files that a `Disk` gave, below `target` in place of its root."""
    target.mkdir()
    for path, data in sorted(content.items()):
        place = target / path[len(root) + 1 :]
        if data is None:
            place.mkdir()
        else:
            place.write_bytes(data)


def _put(data: bytearray, offset: int, written: bytes) -> None:
    data.extend(bytes(max(0, offset - len(data))))
    data[offset : offset + len(written)] = written


def _name(names: dict[str, _File], path: str, file: _File | None) -> None:
    if file is None:
        names.pop(path, None)
    else:
        names[path] = file


def _reachable(content: dict[str, bytes | None], root: str) -> dict[str, bytes | None]:
    """Leave out what lies in a folder that is not there itself."""
    found: dict[str, bytes | None] = {}
    for path, data in sorted(content.items()):
        parent = path.rpartition("/")[0]
        if parent == root or (parent in found and found[parent] is None):
            found[path] = data
    return found


def _strings(arguments: str) -> list[str]:
    return [ast.literal_eval(text) for text in re.findall(r'"(?:[^"\\]|\\.)*"', arguments)]


def _bytes(arguments: str) -> bytes:
    first = arguments.index('"')
    data: bytes = ast.literal_eval("b" + arguments[first : arguments.rindex('"') + 1])
    return data
