"""Settings: from the environment (STROP_...), from a TOML file that STROP_CONFIG names, or as they are here."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

CONFIG = "STROP_CONFIG"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Settings(BaseSettings):
    """How a service runs. Every field has an environment variable: STROP_ and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="STROP_", extra="forbid", frozen=True)

    data: Path = Field(default_factory=lambda: _data_folder(), description="everything that is kept lies below it")
    host: str = Field(default="127.0.0.1", description="address to listen on; others than loopback need a key")
    port: int = Field(default=8080, ge=0, le=65535)
    device: str = Field(default="auto", description="of the worker: auto, board, emulator, reference, emulated-board")
    threads: int | None = Field(default=None, ge=1, description="of the worker's emulator; default: all cores")
    max_queue: int = Field(default=100, ge=1, description="jobs that may wait")
    max_upload_mbytes: int = Field(default=256, ge=1, description="of one data set or model")
    max_body_kbytes: int = Field(default=1024, ge=1, description="of any other request")
    requests_per_minute: int = Field(default=6000, ge=1, description="of one key or address")
    checkpoint_every: int = Field(default=50, ge=1, description="steps, where a job does not say")
    heartbeat_seconds: float = Field(default=15.0, gt=0, description="between comments in a silent event stream")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take arguments before the environment, and that before the file."""
        named = os.environ.get(CONFIG)
        file = (TomlConfigSettingsSource(settings_cls, Path(named)),) if named else ()
        return (init_settings, env_settings, *file)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in LOOPBACK

    def folder(self, name: str) -> Path:
        """Return a folder of the data folder, made if need be."""
        path = self.data / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def _data_folder() -> Path:
    home = os.environ.get("XDG_DATA_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path(os.path.expanduser("~/.local/share"))
    return base / "strop" / "service"
