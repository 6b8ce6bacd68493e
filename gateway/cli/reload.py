"""`ExecReload=`: have the running daemon read its site file again, and say what became of it.

Exit codes: 0 taken over, 1 no daemon or no answer, 2 refused; stderr has every problem of the file.
Loads no command-line library: systemd waits for it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.drivers.sockets import NoAnswer, ask

SOCKET = Path("/run/care-gateway/daemon.sock")
WITHIN_S = 60.0  # reading a large site file on a small board, and all buses at rest


def main(argv: Sequence[str]) -> int:
    """Reload the daemon behind the socket of `argv`, by default the one that systemd runs."""
    socket = Path(argv[0]) if argv else SOCKET
    try:
        answer = ask(socket, {"verb": "reload"}, WITHIN_S)
    except NoAnswer as error:
        print(error, file=sys.stderr)
        return 1
    if not answer.get("ok"):
        print(answer.get("error"), file=sys.stderr)
        return 2 if answer.get("code") == "refused" else 1
    changed = answer.get("changed")
    names = ", ".join(changed) if isinstance(changed, list) else ""
    print(f"site file taken over; buses changed: {names or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
