"""TLS to brokers: always verified, and every way to fail told apart.

In TLS 1.3 a server judges our certificate after our side of the handshake is over; its alert would
be found later by whoever reads, or be lost to a reset when something was written meanwhile. The
socket made here waits for the server's first word, a session ticket or the alert.
"""

import contextlib
import select
import socket
import ssl
import time
from pathlib import Path
from typing import NoReturn

from gateway.domain.errors import LinkRefused
from gateway.domain.site import Broker, Uplink
from gateway.drivers.dialling import dial

FIRST_WORD_S = 0.3  # at least, and twice what the handshake took; a server without tickets costs it
PROBE_S = 2.0

_BY_VERIFY_CODE = {  # OpenSSL's X509_V_ERR_...
    9: "tls_not_yet_valid",
    10: "tls_expired",
    62: "tls_name",  # HOSTNAME_MISMATCH
    63: "tls_name",  # EMAIL_MISMATCH
    64: "tls_name",  # IP_ADDRESS_MISMATCH
}
_REFUSALS = (  # RFC 8446, 6.2: what a server says about our certificate
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNKNOWN_CA",
    "ALERT_ACCESS_DENIED",
    "ALERT_DECRYPT_ERROR",
)
_NOT_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")
_CLOSED = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

# MQTT 3.1.1 CONNECT, clean session, no client id, no user: asks only whether MQTT is spoken.
_MQTT_CONNECT = bytes([0x10, 12, 0, 4, *b"MQTT", 4, 2, 0, 10, 0, 0])


class _Socket(ssl.SSLSocket):
    """Leaves in its context what ended it; knows the server's verdict after the handshake."""

    def do_handshake(self, block: bool = False) -> None:
        began = time.monotonic()
        super().do_handshake(block)
        if self.version() == "TLSv1.3":
            self._await_first_word(max(FIRST_WORD_S, 2 * (time.monotonic() - began)))

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if isinstance(self.context, Context):
                self.context.failure = error
            raise

    def _await_first_word(self, seconds: float) -> None:
        """Read tickets, or raise the alert; MQTT servers say nothing else before CONNECT."""
        if not select.select([self], [], [], seconds)[0]:
            return
        timeout = self.gettimeout()
        self.settimeout(0)
        try:
            super().recv(1)
        except ssl.SSLWantReadError:
            return
        finally:
            self.settimeout(timeout)


class Context(ssl.SSLContext):
    """Verifies chain and host name; `failure` is what a socket of it ended with, if TLS knows."""

    sslsocket_class = _Socket
    failure: ssl.SSLError | None = None


def context_of(uplink: Uplink) -> Context:
    """Return the context for the site's files; LinkRefused `tls_files` says which one is wrong."""
    context = Context(ssl.PROTOCOL_TLS_CLIENT)  # CERT_REQUIRED and the host name checked
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if uplink.ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(uplink.ca_file)
    except OSError as error:  # SSLError is one
        _bad_file("CA", uplink.ca_file, error)
    if uplink.cert_file is None:
        return context
    for name, path in (("certificate", uplink.cert_file), ("key", uplink.key_file)):
        try:
            if path is not None:
                path.read_bytes()
        except OSError as error:
            _bad_file(name, path, error)
    try:
        context.load_cert_chain(uplink.cert_file, uplink.key_file, password=_no_password)
    except ssl.SSLError as error:
        _bad_file("certificate and key", uplink.cert_file, error)
    return context


def _no_password() -> NoReturn:
    """OpenSSL would ask the terminal otherwise."""
    raise LinkRefused("tls_files", "the key file needs a password: store it without one (0600)")


def _bad_file(name: str, path: Path | None, error: OSError) -> NoReturn:
    match error:
        case ssl.SSLError(reason="KEY_VALUES_MISMATCH"):
            said = "the key does not belong to the certificate"
        case ssl.SSLError():
            said = f"no usable PEM in it ({error.reason or error})"
        case _:
            said = error.strerror or str(error)
    raise LinkRefused("tls_files", f"{name} file {path}: {said}") from error


def refusal_of(error: OSError, uplink: Uplink, broker: Broker) -> LinkRefused | None:
    """Return what a TLS connection failed with, or None when TLS is not why.

    May ask the broker's port, in plain, whether it speaks MQTT: blocks for up to 2 s.
    """
    match error:
        case ssl.SSLCertVerificationError():
            why = _BY_VERIFY_CODE.get(error.verify_code, "tls_ca")
            return LinkRefused(why, error.verify_message)
        case ssl.SSLError(reason=str(reason)) if reason.endswith("CERTIFICATE_REQUIRED"):
            return LinkRefused("tls_no_cert", reason)
        case ssl.SSLError(reason=str(reason)) if reason.endswith(_REFUSALS):
            return LinkRefused("tls_refused", reason)
        case ssl.SSLError(reason=str(reason)) if reason in _NOT_TLS:
            return LinkRefused("tls_plain", reason)
        case ssl.SSLError(reason=str(reason)) if reason.endswith("ALERT_HANDSHAKE_FAILURE"):
            # TLS 1.2 has no alert of its own for a client without certificate
            return LinkRefused("tls" if uplink.cert_file else "tls_no_cert", reason)
        case _ if isinstance(error, _CLOSED):
            is_plain = _first_byte(broker, _MQTT_CONNECT) == b"\x20"
            why, detail = "tls_plain" if is_plain else "tls", f"closed in handshake: {error}"
            return LinkRefused(why, detail, is_guess=not is_plain)
        case ssl.SSLError():
            return LinkRefused("tls", str(error))
        case _:
            return None


def open_socket(uplink: Uplink, broker: Broker, timeout_s: float) -> socket.socket:
    """Connect, with TLS where the broker wants it, and say nothing; OSError or LinkRefused."""
    if broker.unix_path is not None:
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(timeout_s)
        plain.connect(broker.unix_path)
        return plain
    plain = dial(broker.host, broker.port, timeout_s)
    if not broker.tls:
        return plain
    return context_of(uplink).wrap_socket(plain, server_hostname=broker.host)


def expects_tls(broker: Broker) -> bool:
    """True when the port answers a TLS hello; blocks for up to 2 s. Nothing else is sent."""
    sent = ssl.MemoryBIO()
    hello = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="x")
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    return _first_byte(broker, sent.read()) in (b"\x15", b"\x16")  # an alert, or its own hello


def _first_byte(broker: Broker, said: bytes) -> bytes:
    """Return the first byte that the broker's port answers; empty when it does not."""
    try:
        with dial(broker.host, broker.port, PROBE_S) as probe:
            probe.sendall(said)
            return probe.recv(1)
    except OSError:
        return b""
