"""The waits of nfcpy, made longer: on a busy machine the simulated chip may be late, and is well.

Nothing of what is said changes. Where a test has the chip be silent, the waits are as they are.
"""

import nfc.clf.transport
import pytest


class Patience:
    """`times` as long as nfcpy waits by itself."""

    def __init__(self) -> None:
        self.times = 100


def grant(monkeypatch: pytest.MonkeyPatch) -> Patience:
    """Make nfcpy's serial port wait longer, for one test."""
    patience, read = Patience(), nfc.clf.transport.TTY.read
    monkeypatch.setattr(
        nfc.clf.transport.TTY, "read", lambda port, timeout: read(port, timeout * patience.times)
    )
    return patience
