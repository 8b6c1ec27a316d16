"""What an emulated board can be told to do wrong, so that what follows can be tried without breaking a board."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Faults:
    """Faults of the hardware. Each is off until it is set, and may be set while the board is open.

    hang_at_command: starts that reach this command stop there and never finish. hangs: how many starts do so before the
    fault is gone. silent: starts neither finish nor write anything. version: what VERSION reads as, instead of the
    kernel's own. misplaced_report: bytes by which the report is written beside its place. lost_interrupts: the end of a
    start raises none. lost_flushes: flushed lines do not reach memory. failing_downloads: overlays
    cannot be loaded, and what was loaded is gone.
    """

    hang_at_command: int | None = None
    hangs: int = 1
    silent: bool = False
    version: int | None = None
    misplaced_report: int = 0
    lost_interrupts: bool = False
    lost_flushes: bool = False
    failing_downloads: bool = False
