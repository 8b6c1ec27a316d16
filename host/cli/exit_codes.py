"""What the `strop` command returns to the shell: the one place that says so. Scripts may rely on these numbers.

| code | meaning |
|---|---|
| 0 | done |
| 1 | something that strop did not expect, such as a full disk |
| 2 | the command line is wrong |
| 3 | the device is busy: another process holds it |
| 4 | what was passed is not acceptable: data, checkpoint, network, a path, or more memory than the device has |
| 5 | a device or its overlay is missing or failed; `strop doctor`: no training here; `strop selftest`: a wrong answer |
| 130 | interrupted (Ctrl-C or SIGTERM); a checkpoint was kept where one was asked for |
| 141 | the reader of the output went away (`strop info ... | head`) |

Of a service (`--on URL`) 3 says that it has too much to do, 4 that it refused, or that its gate refused the version,
and 5 that it failed or cannot be reached.
"""

from __future__ import annotations

from strop.runtime.errors import DeviceBusy, DeviceError, StropError

OK = 0
UNEXPECTED = 1
USAGE = 2
BUSY = 3
VALIDATION = 4
DEVICE = 5
INTERRUPTED = 130
BROKEN_PIPE = 141


class UsageError(Exception):
    """The command line is wrong; `usage` is the short help of the command that was meant."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


def exit_code_of(error: BaseException) -> int:
    """Return the exit code that stands for an error."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, DeviceBusy):
        return BUSY
    if isinstance(error, DeviceError):
        return DEVICE
    if isinstance(error, StropError):
        return VALIDATION
    return UNEXPECTED
