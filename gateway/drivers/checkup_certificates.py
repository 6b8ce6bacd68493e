"""A look at how long certificates last, for `care-gateway doctor`; nothing is changed.

One that runs out is told by its first refusal, in a night years after it was put there; until then
everything works. What is no certificate at all, or cannot be read, the looks at the files and at
the broker tell.
"""

import contextlib
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cryptography import x509

from gateway.domain.errors import LinkRefused
from gateway.domain.findings import Finding, bad, note
from gateway.domain.site import Broker, Uplink
from gateway.domain.text import Text
from gateway.drivers import tls
from gateway.drivers.checkup import is_credential

DAY_S = 86_400
OURS_WITHIN_DAYS = 60  # an order, a file by post and a visit take weeks
BROKER_WITHIN_DAYS = 14  # those that are renewed by themselves are, a month before their end
REACH_S = 5.0

_RENEW = Text("请平台签发新证书（连同密钥）", "have the platform issue a new one, with its key")
_NEW_AUTHORITY = Text("向平台要新的根证书", "ask the platform for its new authority's file")
_THEIRS = Text("通知平台换证书", "have the platform renew its certificate")


def look_at_certificates(
    ca: Path | None, cert: Path | None, *, wall: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """The site's own files.

    Of a chain the certificate that ends first counts, of authorities the one that ends last.
    """
    for path, order, counts in ((ca, _NEW_AUTHORITY, max), (cert, _RENEW, min)):
        ends = _ends(path)
        if path is not None and ends:
            cure = _put(order, path)
            yield from _told(counts(ends), OURS_WITHIN_DAYS, cure, str(path), wall())


def look_at_broker_certificate(
    uplink: Uplink, broker: Broker, *, wall: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """The one that a broker with TLS shows; blocks for some seconds while it is asked."""
    try:
        with tls.open_socket(uplink, broker, REACH_S) as sock:
            shown = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
    except (OSError, LinkRefused):  # why is told by the look at the broker
        return
    if shown and isinstance(shown.get("notAfter"), str):
        end_s = ssl.cert_time_to_seconds(str(shown["notAfter"]))
        where = f"{broker.host}:{broker.port}"
        yield from _told(end_s, BROKER_WITHIN_DAYS, _THEIRS, where, wall())


def _ends(path: Path | None) -> Sequence[float]:
    """When the certificates of a PEM file end, in s since 1970; none where none can be read."""
    if path is None:
        return ()
    with contextlib.suppress(OSError, ValueError):
        found = x509.load_pem_x509_certificates(path.read_bytes())
        return [each.not_valid_after_utc.timestamp() for each in found]
    return ()


def _put(order: Text, path: Path) -> Text:
    """Systemd hands a credential over when the daemon starts, and not again at a reload."""
    if is_credential(path):
        put = f"scripts/install --credential {path.name}=FILE"
        return Text(f"{order.zh}，再 {put}", f"{order.en}, then {put}")
    return Text(
        f"{order.zh}，放到原处，再 systemctl restart care-gateway",
        f"{order.en}, put it in its place, then systemctl restart care-gateway",
    )


def _told(end_s: float, within: int, cure: Text, about: str, now_s: float) -> Iterator[Finding]:
    days = int((end_s - now_s) // DAY_S)
    date = time.strftime("%Y-%m-%d", time.gmtime(end_s))
    if end_s <= now_s:
        yield bad(
            "certificate_ended",
            Text(f"{about} 的证书 {date} 已过期", f"{about}: the certificate ran out on {date}"),
            cure,
            about,
        )
    elif days < within:
        yield note(
            "certificate_ends",
            Text(
                f"{about} 的证书 {date} 到期，还有 {days} 天",
                f"{about}: the certificate runs out on {date}, in {days} days",
            ),
            cure,
            about,
        )
