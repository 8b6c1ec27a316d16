"""Data sets at the door: bodies of strangers, streamed, checked, and packed; bad samples are put aside with a reason.

A body goes through `uploads.receive` (to a file without a name) and `intake.take_in` (to batches of samples) into
`packing.Packing` (one .npz of what was accepted). Nothing here holds more than a batch and one image file in memory.
"""
