"""One door to every format: what is unknown, untrained or unwritable is refused before a file is touched."""

from __future__ import annotations

import pytest

from strop.host import export
from strop.host.export import FORMATS, export_checkpoint
from strop.host.pretrained import pretrained_path
from strop.runtime.errors import InputError
from tiny_models import tiny_model


def test_what_is_refused(tmp_path):
    """Unknown formats, folders, and a network that has no shifts yet."""
    with pytest.raises(InputError, match="'onnxx' is unknown; allowed are c-header"):
        export_checkpoint(pretrained_path(), "onnxx", tmp_path / "x")
    with pytest.raises(InputError, match="is a folder"):
        export_checkpoint(pretrained_path(), "c-header", tmp_path)
    with tiny_model() as model:
        saved = model.save(tmp_path / "new.safetensors")
    for form in FORMATS:
        (tmp_path / "x").write_text("old")
        with pytest.raises(InputError, match="tiny: conv1, fc1, bn1, bn2 was never trained"):
            export_checkpoint(saved, form, tmp_path / "x")
        assert (tmp_path / "x").read_text() == "old"


def test_a_checkpoint_is_not_replaced_by_its_export(tmp_path):
    """Protects the only copy of a trained network, also from a target that is the same file by another name."""
    source = tmp_path / "net.safetensors"
    source.write_bytes(pretrained_path().read_bytes())
    (tmp_path / "link").symlink_to(source)
    for target in (source, tmp_path / "link", tmp_path / "." / "net.safetensors"):
        with pytest.raises(InputError, match="name another file"):
            export_checkpoint(source, "safetensors", target)
    assert source.read_bytes() == pretrained_path().read_bytes()


def test_the_package_lists_its_formats():
    """The table of the docstring is the registry."""
    for name in FORMATS:
        assert f'"{name}"' in export.__doc__
