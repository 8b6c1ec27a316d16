"""How large what strangers send may be, in one place: each limit bounds memory or time, and a refusal names it."""

from __future__ import annotations

from strop.runtime.contract import C

MAX_MEMBERS = 10_000  # of an archive: the list of them is what is held in memory
MAX_DIRECTORY_BYTES = 128 * MAX_MEMBERS
MAX_NAME_CHARACTERS = 200  # of a member
MAX_SAMPLES = 1 << 20
MAX_SAMPLE_BYTES = 2 << 20  # of one image [C, H, W]
MAX_IMAGE_FILE_BYTES = 1 << 20
MAX_IMAGE_PIXELS = 1 << 18  # of an image file, whose decoding takes several times as much memory
BATCH_BYTES = 512 << 10  # of pixels that are in memory at a time
MAX_LISTED = 1_000  # quarantined samples of a data set that are listed one by one


def sample_fault(shape: tuple[int, ...]) -> str | None:
    """Return why samples of `shape` = (C, H, W) cannot be taken; None where they can."""
    channels, height, width = shape
    if min(shape) < 1 or max(height, width) > C.MAX_SIDE or channels > C.MAX_CHANNELS:
        return f"images of {list(shape)}; allowed are 1 to {C.MAX_CHANNELS} channels of 1 to {C.MAX_SIDE} pixels a side"
    if channels * height * width > MAX_SAMPLE_BYTES:
        return f"images of {list(shape)} have {channels * height * width} bytes; allowed are {MAX_SAMPLE_BYTES}"
    return None
