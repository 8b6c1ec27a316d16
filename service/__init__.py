"""The service: a box that others drive over HTTP. What it promises is in README.md."""
