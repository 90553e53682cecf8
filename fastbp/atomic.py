"""Files written whole or not at all: into a temporary file beside the target, which then takes its place."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary stream that becomes the file `path` when the block ends well, and nothing when it does not."""
    target = _target(path)
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_writable(option: str, path: Path) -> None:
    """Refuse, before any work is done, an `option` whose file could not be written at the end."""
    target = _target(path)
    try:
        if target.exists() and not target.is_file():
            raise ValueError(f"{option} is {path}, which is not a file; a file to write is wanted")
        if not target.parent.is_dir():
            raise ValueError(f"{option} is {path}, but there is no folder {target.parent}")
        probe = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
        probe.open("xb").close()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"{option} is {path}, which cannot be written: {error.strerror}") from None


def _target(path: Path) -> Path:
    """The file itself where `path` is a symbolic link to it."""
    return Path(os.path.realpath(path))
