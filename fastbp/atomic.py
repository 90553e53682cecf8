"""Files written whole or not at all: into a temporary file beside the target, which then takes its place."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

ABANDONED = 3600  # seconds after which nobody writes on to a temporary file


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary stream that becomes the file `path` when the block ends well, and nothing when it does not.

    An OSError of the writing names `path`, not the temporary file.
    """
    target = _target(path)
    _remove_abandoned(target)
    temporary = _temporary(target)
    try:
        stream = temporary.open("xb")
        try:
            with stream:
                with contextlib.suppress(OSError):  # as the file has been: it may be for few eyes
                    temporary.chmod(target.stat().st_mode & 0o777)
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno is None or str(error.filename or temporary) != str(temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    _keep_name(target)


def check_writable(option: str, path: Path) -> None:
    """Refuse, before any work is done, an `option` whose file could not be written at the end."""
    target = _target(path)
    try:
        if target.exists() and not target.is_file():
            raise ValueError(f"{option} is {path}, which is not a file; a file to write is wanted")
        if not target.parent.is_dir():
            raise ValueError(f"{option} is {path}, but there is no folder {target.parent}")
        probe = _temporary(target)
        probe.open("xb").close()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"{option} is {path}, which cannot be written: {error.strerror}") from None


def _target(path: Path) -> Path:
    """The file itself where `path` is a symbolic link to it."""
    return Path(os.path.realpath(path))


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")


def _remove_abandoned(target: Path) -> None:
    """Remove what killed processes left of this target; a younger file may be one that another process writes."""
    name = re.compile(rf"\.{re.escape(target.name[:200])}\.[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if name.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED:
                        os.unlink(entry)


def _keep_name(target: Path) -> None:
    """Have the folder written too, so that a power cut after this brings back the new file and not the old one."""
    with contextlib.suppress(OSError):  # systems that cannot
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
