"""An emulated board behind PYNQ.remote's protocol: what pynq's own `RemoteDevice` connects to.

The protocol has no authentication, so the server answers on the loopback address alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import numpy as np
from pynq.remote import buffer_pb2 as buffers
from pynq.remote import buffer_pb2_grpc, mmio_pb2_grpc, remote_device_pb2_grpc
from pynq.remote import mmio_pb2 as mmio
from pynq.remote import remote_device_pb2 as device

from strop.runtime.emulated_board.board import EmulatedBoard
from strop.runtime.emulated_board.hwh import bit_bytes, hwh_text
from strop.runtime.errors import BusFault

LOOPBACK = "127.0.0.1"
FPGA_MANAGER = "/sys/class/fpga_manager/fpga0/"
FIRMWARE = "/lib/firmware/"
MESSAGE_BYTES = 2 << 20  # gRPC takes no message over 4 MiB


class RemoteBoardServer:
    """Serves `board` until it is closed; `port` is the port that it took. A context manager."""

    def __init__(self, board: EmulatedBoard) -> None:
        self.files = _Files(board)
        self._server = grpc.server(futures.ThreadPoolExecutor(2, thread_name_prefix="emulated-remote"))
        remote_device_pb2_grpc.add_RemoteDeviceServicer_to_server(self.files, self._server)
        mmio_pb2_grpc.add_MmioServicer_to_server(_Registers(board), self._server)
        buffer_pb2_grpc.add_RemoteBufferServicer_to_server(_Buffers(board), self._server)
        self.port = int(self._server.add_insecure_port(f"{LOOPBACK}:0"))
        self._server.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.stop(0).wait()

    def __enter__(self) -> RemoteBoardServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Files(remote_device_pb2_grpc.RemoteDeviceServicer):  # type: ignore[misc]  # pynq has no types
    """The files of a board that pynq reads and writes, among them Linux's FPGA manager.

    `programmed` is the content of the file that the logic was last programmed with.
    """

    def __init__(self, board: EmulatedBoard) -> None:
        self._board = board
        self.programmed = b""
        self.contents = {
            "/proc/version": f"Linux version 6.6 ({board.arch}-linux-gnu), emulated".encode(),
            "/proc/device-tree/chosen/pynq_board": board.name.encode() + b"\0",
            FPGA_MANAGER + "state": b"operating",
            FPGA_MANAGER + "flags": b"0",
        }

    def existsfile(self, request: Any, context: Any) -> Any:
        return device.ExistsFileResponse(exists=request.file_path in self.contents)

    def readfile(self, request: Any, context: Any) -> Iterator[Any]:
        yield device.ReadFileResponse(data=self.contents[request.file_path])

    def writefile(self, requests: Iterator[Any], context: Any) -> Any:
        path, data = "", b""
        for request in requests:
            path, data = request.file_path, data + request.data
        self.contents[path] = data
        if path == FPGA_MANAGER + "firmware":
            self._program(self.contents[FIRMWARE + data.decode()])
        return device.WriteFileResponse()

    def set_bitstream_attrs(self, request: Any, context: Any) -> Any:
        return device.SetBitstreamAttrsResponse(status=True)

    def _program(self, bitstream: bytes) -> None:
        """Load the board's overlay. A bitstream says nothing of addresses; this board's are those of its .hwh."""
        self.programmed = bitstream
        with tempfile.TemporaryDirectory() as folder:
            bitfile = Path(folder) / "strop.bit"
            bitfile.write_bytes(bit_bytes(self._board.spec))
            bitfile.with_suffix(".hwh").write_text(hwh_text(self._board.spec), encoding="utf-8")
            self._board.program(self._board.get_bitfile_metadata(str(bitfile)))


class _Registers(mmio_pb2_grpc.MmioServicer):  # type: ignore[misc]
    """Mapped registers, by the number of the mapping."""

    def __init__(self, board: EmulatedBoard) -> None:
        self._board = board
        self._bases: list[int] = []

    def get_mmio(self, request: Any, context: Any) -> Any:
        self._bases.append(request.base_addr)
        return mmio.GetMmioResponse(status=True, mmio_id=str(len(self._bases) - 1))

    def read(self, request: Any, context: Any) -> Any:
        try:
            data = self._board.read_registers(self._bases[int(request.mmio_id)] + request.offset, 4)
        except BusFault as fault:
            return mmio.ReadResponse(msg=str(fault))
        return mmio.ReadResponse(status=True, data=int.from_bytes(data, "little"))

    def write(self, request: Any, context: Any) -> Any:
        try:
            self._board.write_registers(self._bases[int(request.mmio_id)] + request.offset, request.data)
        except BusFault as fault:
            return mmio.WriteResponse(msg=str(fault))
        return mmio.WriteResponse(status=True)


class _Buffers(buffer_pb2_grpc.RemoteBufferServicer):  # type: ignore[misc]
    """Buffers, by their bus address."""

    def __init__(self, board: EmulatedBoard) -> None:
        self._board = board
        self._taken: dict[str, Any] = {}

    def allocate(self, request: Any, context: Any) -> Any:
        try:
            buffer = self._board.allocate((request.size,), "u1", cacheable=int(request.cacheable))
        except MemoryError as error:  # as pynq's server answers: a message that pynq's client does not look at
            return buffers.AllocateResponse(msg=str(error))
        self._taken[str(buffer.device_address)] = buffer
        return buffers.AllocateResponse(buffer_id=str(buffer.device_address))

    def write(self, requests: Iterator[Any], context: Any) -> Any:
        at = 0
        for request in requests:
            self._taken[request.buffer_id][at : at + len(request.data)] = np.frombuffer(request.data, np.uint8)
            at += len(request.data)
        return buffers.BufferWriteResponse()

    def read(self, request: Any, context: Any) -> Iterator[Any]:
        data = self._taken[request.buffer_id].tobytes()
        for at in range(0, len(data), MESSAGE_BYTES):
            yield buffers.BufferReadResponse(data=data[at : at + MESSAGE_BYTES])

    def flush(self, request: Any, context: Any) -> Any:
        self._taken[request.buffer_id].flush()
        return buffers.FlushResponse()

    def invalidate(self, request: Any, context: Any) -> Any:
        self._taken[request.buffer_id].invalidate()
        return buffers.InvalidateResponse()

    def physical_address(self, request: Any, context: Any) -> Any:
        if request.buffer_id not in self._taken:
            return buffers.AddressResponse(msg=f"there is no buffer {request.buffer_id!r}")
        return buffers.AddressResponse(address=self._taken[request.buffer_id].device_address)

    def freebuffer(self, request: Any, context: Any) -> Any:
        self._taken.pop(request.buffer_id, None)
        return buffers.FreeBufferResponse()
