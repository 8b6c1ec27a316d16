"""Settings: from the environment (STROP_...), from a TOML file that STROP_CONFIG names, or as they are here."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from strop.runtime.errors import InputError

CONFIG = "STROP_CONFIG"
PREFIX = "STROP_"


class SettingsError(InputError):
    """A setting that cannot be: names where it stands, its value, and what is allowed."""


class Settings(BaseSettings):
    """How a service runs. Every field has an environment variable: STROP_ and its name in capitals.

    Raises `SettingsError`.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data: Path = Field(default_factory=lambda: _data_folder(), description="everything that is kept lies below it")
    host: str = Field(
        default="127.0.0.1", min_length=1, description="address to listen on; others than loopback need a key"
    )
    port: int = Field(default=8080, ge=0, le=65535, description="to listen on; 0: any free one")
    proxy_hosts: str = Field(
        default="", description="names, with commas, that a reverse proxy in front of a loopback address passes on"
    )
    device: Literal["auto", "board", "emulator", "reference", "emulated-board"] = Field(
        default="auto", description="of the worker"
    )
    threads: int | None = Field(default=None, ge=1, description="of the worker's emulator; default: all cores")
    max_queue: int = Field(default=100, ge=1, description="jobs that may wait")
    max_upload_mbytes: int = Field(default=256, ge=1, description="of one data set or model")
    max_body_kbytes: int = Field(default=1024, ge=1, description="of any other request")
    body_seconds: float = Field(
        default=20.0, gt=0, allow_inf_nan=False, description="to wait for a body, and one more for each 16 KiB of it"
    )
    requests_per_minute: int = Field(default=6000, ge=1, description="of one key or address")
    checkpoint_every: int = Field(default=50, ge=1, description="steps, where a job does not say")
    heartbeat_seconds: float = Field(
        default=15.0, gt=0, allow_inf_nan=False, description="between comments in a silent event stream"
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_explained(error, values)) from None

    @field_validator("data")
    @classmethod
    def _one_folder(cls, data: Path) -> Path:
        """The worker is another process, so the folder must not depend on where one stands."""
        return Path(os.path.abspath(data.expanduser()))

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
        file = (_read_file(settings_cls, Path(named)),) if named else ()
        return (init_settings, env_settings, *file)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def database(self) -> Path:
        """The file of the database; there is none before the first start."""
        return self.data / "strop.db"

    def folder(self, name: str) -> Path:
        """Return a folder of the data folder, made if need be."""
        path = self.data / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def environment(self) -> dict[str, str]:
        """Return the environment variables that stand for these settings."""
        words = self.model_dump(mode="json", exclude_none=True)
        return {PREFIX + name.upper(): str(value) for name, value in words.items()}


def _data_folder() -> Path:
    home = os.environ.get("XDG_DATA_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path(os.path.expanduser("~/.local/share"))
    return base / "strop" / "service"


def _read_file(settings: type[BaseSettings], path: Path) -> TomlConfigSettingsSource:
    if not path.is_file():
        raise SettingsError(f"{CONFIG}={path}: there is no such file; name a TOML file, or unset {CONFIG}")
    try:
        return TomlConfigSettingsSource(settings, path)
    except ImportError:  # only Python 3.10 has no tomllib
        raise SettingsError(
            f"{CONFIG}={path}: Python {sys.version_info[0]}.{sys.version_info[1]} reads TOML with the package tomli; "
            "pip install tomli, or use environment variables"
        ) from None
    except (ValueError, OSError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise SettingsError(f"{CONFIG}={path}: it cannot be read as TOML: {error}") from None


def _explained(error: ValidationError, arguments: dict[str, Any]) -> str:
    """Say of each wrong value where it stands, what it is, and what is allowed."""
    lines = []
    for each in error.errors():
        name = str(each["loc"][0])
        variable = PREFIX + name.upper()
        if name in arguments:
            place = name
        elif variable in os.environ:
            place = variable
        else:
            place = f"{name} in {os.environ.get(CONFIG)}"
        if each["type"] == "extra_forbidden":
            lines.append(f"{place}: there is no such setting; allowed: {', '.join(Settings.model_fields)}")
        else:
            lines.append(f"{place}={each['input']!r}: {each['msg'][0].lower()}{each['msg'][1:]}")
    return "; ".join(lines)
