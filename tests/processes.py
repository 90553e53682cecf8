"""Processes of their own, for tests of what ends, fills, limits or survives a process."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1  # of Linux


def environment(**changes):
    """This process's environment, with all that it can import; a variable that is None is taken out."""
    known = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **changes}
    return {name: value for name, value in known.items() if value is not None}


def in_a_process(*command, **changes):
    """Its standard output; the test fails with all that it said if it fails."""
    done = subprocess.run(
        [sys.executable, *command], env=environment(**changes), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def started(*command, **changes):
    """A process that goes on, and hears Ctrl-C as one in a terminal does; its streams are pipes of text."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    hearing = hear_ctrl_c if os.name == "posix" else None
    command = [sys.executable, *command]
    return subprocess.Popen(command, env=environment(**changes), text=True, preexec_fn=hearing, **pipes)


def hear_ctrl_c():
    """For `preexec_fn`: jobs in the background of a shell inherit that they do not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def without_root_rights():
    """For `preexec_fn`: from its start on, file modes bind the process even if it is root's."""
    with contextlib.suppress(OSError, AttributeError):  # where there is no such call
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)


def child_of(*works):
    """The number of a forked child that does `work()` for each in turn and ends."""
    if not (pid := os.fork()):
        try:
            for work in works:
                work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return pid


def status_of_a_child(*works):
    """The wait status of such a child."""
    return os.waitpid(child_of(*works), 0)[1]


def die_at_byte(byte):
    """From now on the system kills this process at the write of the byte of this number of a file."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (byte, byte))
