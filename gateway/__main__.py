"""The command `care-gateway`, also `python -m gateway`."""

import gc
import sys


def main() -> int:
    """Run one verb and return its exit code: 0 fine, 1 the outside world, 2 your input."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["run"]:
        # Imports leave no garbage behind, and looking for it is a fifth of their time; collecting
        # begins when the daemon is about to start.
        gc.disable()
        # The daemon lives for months on a small board: it must not load what only people need.
        from gateway.cli.run import main as run

        return run(arguments[1:])
    if arguments[:1] == ["console"]:  # it runs beside the daemon, as long
        from gateway.cli.console import main as console

        return console(arguments[1:])
    if arguments[:1] == ["reader"]:  # and so does this
        from gateway.cli.reader import main as reader

        return reader(arguments[1:])
    from gateway.cli.main import main as command_line

    return command_line(arguments)


if __name__ == "__main__":
    sys.exit(main())
