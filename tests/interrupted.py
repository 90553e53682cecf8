"""Ctrl-C at a moment of one's choice."""


def interrupt_after(monkeypatch, entry, calls, dtype=None):
    """Have Ctrl-C come as a kernel returns from so many calls, or never; the arguments of each, as they come.

    Python raises KeyboardInterrupt when the kernel has returned, and so before its caller sees what it returned.
    """
    run, done = entry.for_dtype(dtype), []

    def interrupted_kernel(*arguments):
        result = run(*arguments)
        done.append(arguments)
        if len(done) == calls:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(entry, "for_dtype", lambda *_: interrupted_kernel)
    return done
