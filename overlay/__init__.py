"""From kernel to bitstream, per board: the board table, Vivado scripts, and what a finished overlay must look like.

Nothing here needs more than Python itself, so that it runs where Vivado does, without an installation.
"""
