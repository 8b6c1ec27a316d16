"""What the service adds to the `strop` command. Modules are named in pyproject.toml and import no web packages."""
