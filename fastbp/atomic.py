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
LONGEST_NAME = 200  # bytes of the target's name in that of a temporary file, which is longer


class IfPossible(contextlib.AbstractContextManager[None]):
    """For `with`: an error of the system ends the block, and nothing else.

    Not one that a signal handler raises: TimeoutError("late") is an OSError, too, but has no number of the system's.
    """

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return isinstance(error, OSError) and error.errno is not None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary stream that becomes the file `path` when the block ends well, and nothing when it does not.

    An OSError of the writing names `path`, not the temporary file.
    """
    target = _target(path)
    _remove_abandoned(target)
    temporary = _temporary(target)
    try:
        try:
            with temporary.open("xb") as stream:
                with IfPossible():  # as the file has been: it may be for few eyes
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
        try:
            probe.open("xb").close()
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        if error.errno is None:
            raise
        raise ValueError(f"{option} is {path}, which cannot be written: {error.strerror}") from None


def _target(path: Path) -> Path:
    """The file itself where `path` is a symbolic link to it."""
    return Path(os.path.realpath(path))


def _temporary(target: Path) -> Path:
    return target.with_name(f".{_start_of_name(target)}.{secrets.token_hex(4)}.tmp")


def _start_of_name(target: Path) -> str:
    """As much of the name as leaves room for more: file systems count bytes."""
    return os.fsencode(target.name)[:LONGEST_NAME].decode(errors="ignore")


def _remove_abandoned(target: Path) -> None:
    """Remove what killed processes left of this target; a younger file may be one that another process writes."""
    name = re.compile(rf"\.{re.escape(_start_of_name(target))}\.[0-9a-f]{{8}}\.tmp")
    with IfPossible(), os.scandir(target.parent) as entries:
        for entry in entries:
            if name.fullmatch(entry.name):
                with IfPossible():
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED:
                        os.unlink(entry)


def _keep_name(target: Path) -> None:
    """Have the folder written too, so that a power cut after this brings back the new file and not the old one."""
    with IfPossible():  # on systems that can
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
