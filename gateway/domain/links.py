"""What a tag's link proves, once its signature was looked at (NTAG 424 DNA, Secure Unique NFC)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SignedRead:
    """One read of one tag, as the tag signed it."""

    uid: str  # hex, as on labels: upper case
    counter: int
    file: bytes = b""


class LinkUnsound(Exception):
    """The link says that a tag signed it, and none of ours did; `code` says how one knows."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code  # `sun_forged`, `sun_lrp`, `sun_mirror`, `sun_damaged`
