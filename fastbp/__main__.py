"""`python -m fastbp` is the command `fastbp`."""

from fastbp.command.cli import main

if __name__ == "__main__":
    main(prog_name="fastbp")
