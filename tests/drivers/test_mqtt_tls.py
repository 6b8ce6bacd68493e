"""Every way a TLS connection can fail is told apart, against a real broker."""

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.domain.errors import LinkRefused
from gateway.domain.site import Broker, Uplink
from gateway.drivers import mqtt, tls
from tests.partners.broker import Mosquitto, free_port
from tests.partners.certificates import DAY, Authority, Pair, encrypt

GATEWAY = "wh-0152-01"
LOCAL = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class House:
    """A broker with one listener for each way to go wrong, and the files that fit."""

    mosquitto: Mosquitto
    folder: Path
    ca: Authority
    own: Pair
    mutual: int  # port: wants a client certificate
    server_only: int
    expired: int
    early: int
    named: int  # its certificate is for another host
    plain: int

    def uplink(self, **fields) -> Uplink:
        files = {"ca_file": self.ca.cert, "cert_file": self.own.cert, "key_file": self.own.key}
        return Uplink(gateway=GATEWAY, brokers=(), **{**files, **fields})


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    ca = Authority(folder)
    good = ca.issue("broker", hosts=LOCAL)
    certs = {
        "mutual": good,
        "server_only": good,
        "expired": ca.issue("expired", hosts=LOCAL, begins=-9 * DAY, ends=-DAY),
        "early": ca.issue("early", hosts=LOCAL, begins=DAY, ends=9 * DAY),
        "named": ca.issue("named", hosts=("broker.example",)),
    }
    ports = {name: free_port() for name in (*certs, "plain")}
    lines = [f"listener {ports['plain']} 127.0.0.1"]
    for name, pair in certs.items():
        lines += [
            f"listener {ports[name]} 127.0.0.1",
            f"cafile {ca.cert}\ncertfile {pair.cert}\nkeyfile {pair.key}",
            f"require_certificate {'true' if name == 'mutual' else 'false'}",
        ]
        if name == "mutual":
            lines.append("use_identity_as_username true")
    mosquitto = Mosquitto(config="\n".join(lines), ports=tuple(ports.values()))
    with mosquitto:
        yield House(mosquitto, folder, ca, ca.issue(GATEWAY), **ports)


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def version(request, monkeypatch):
    """The newest version that our side speaks; they part over when a certificate is judged."""

    def context_of(uplink: Uplink) -> tls.Context:
        context = make(uplink)
        context.maximum_version = ssl.TLSVersion[request.param.replace(".", "_")]
        return context

    make = tls.context_of
    monkeypatch.setattr(tls, "context_of", context_of)
    return request.param


def connect(uplink: Uplink, port: int, *, secure: bool = True, protocol=mqtt.V5, host="127.0.0.1"):
    return mqtt.connect(
        uplink, Broker(host, port, tls=secure), client_id=GATEWAY,
        will=(f"care/1/{GATEWAY}/up/state", b"{}"), on_message=lambda *_: None, protocol=protocol,
    )  # fmt: skip


async def refusal(uplink: Uplink, port: int, **fields) -> LinkRefused:
    with pytest.raises(LinkRefused) as refused:
        async with connect(uplink, port, **fields):
            pass
    return refused.value


@pytest.mark.parametrize("protocol", [mqtt.V5, mqtt.V311])
@pytest.mark.parametrize("port", ["mutual", "server_only"])
async def test_a_link_with_fitting_certificates_works(house, version, port, protocol):
    before = len(house.mosquitto.log())
    async with connect(house.uplink(), getattr(house, port), protocol=protocol) as link:
        assert link.tls == version
        assert await link.publish(f"care/1/{GATEWAY}/dn/x", b"{}", 1) == 0
    said = house.mosquitto.log()[before:]
    assert f"as {GATEWAY} (" in said
    # the broker takes the name in our certificate, where it asks for one
    assert (f"u'{GATEWAY}'" in said) == (port == "mutual")


async def test_a_message_of_many_tls_records_arrives_whole_each_way(house, version):
    large = bytes(range(256)) * 800  # 13 records
    got: list[bytes] = []
    async with mqtt.connect(
        house.uplink(), Broker("127.0.0.1", house.mutual, tls=True), client_id=GATEWAY,
        will=(f"care/1/{GATEWAY}/up/state", b"{}"), on_message=lambda _, body: got.append(body),
        protocol=mqtt.V5,
    ) as link:  # fmt: skip
        for body in (large, b"behind"):
            assert await link.publish(f"care/1/{GATEWAY}/dn/x", body, 1) == 0
        async with asyncio.timeout(30):
            while got != [large, b"behind"]:
                await asyncio.sleep(0.01)


async def test_a_host_name_that_the_certificate_has_is_as_good_as_its_address(house):
    async with connect(house.uplink(), house.mutual, host="localhost") as link:
        assert link.tls


@pytest.mark.parametrize(
    ("port", "why"),
    [("expired", "tls_expired"), ("early", "tls_not_yet_valid"), ("named", "tls_name")],
)
async def test_a_broker_s_certificate_that_does_not_fit_is_told_apart(house, port, why):
    refused = await refusal(house.uplink(), getattr(house, port))
    assert refused.why == why
    assert refused.detail


async def test_an_authority_that_we_do_not_know_is_not_trusted(house):
    other = Authority(house.folder, "other ca")
    assert (await refusal(house.uplink(ca_file=other.cert), house.mutual)).why == "tls_ca"
    everybody = house.uplink(ca_file=None)  # the system's authorities, none of which signed this
    assert (await refusal(everybody, house.mutual)).why == "tls_ca"


@pytest.mark.parametrize("round_", range(5))  # the verdict races with our first bytes in TLS 1.3
async def test_a_broker_that_refuses_our_certificate_says_so(house, version, round_):
    other = Authority(house.folder, "other ca")
    foreign = other.issue(GATEWAY, file="foreign")
    old = house.ca.issue(GATEWAY, begins=-9 * DAY, ends=-timedelta(hours=1), file="old")
    for pair in (foreign, old):
        uplink = house.uplink(cert_file=pair.cert, key_file=pair.key)
        assert (await refusal(uplink, house.mutual)).why == "tls_refused"


async def test_a_client_certificate_that_the_site_lacks_is_told_apart(house, version):
    uplink = house.uplink(cert_file=None, key_file=None)
    assert (await refusal(uplink, house.mutual)).why == "tls_no_cert"


async def test_tls_to_a_plain_port_and_plain_to_a_tls_port_are_told_apart(house):
    assert (await refusal(house.uplink(), house.plain)).why == "tls_plain"
    for protocol in (mqtt.V5, mqtt.V311, None):
        refused = await refusal(house.uplink(), house.mutual, secure=False, protocol=protocol)
        assert refused.why == "tls_expected"


async def test_a_port_that_closes_whatever_is_asked_is_not_called_plain(house):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()

        import threading

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        assert (await refusal(house.uplink(), port)).why == "tls"
        assert (await refusal(house.uplink(), port, secure=False)).why == "refused"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


async def test_files_that_are_no_use_are_one_clear_error_each(house, tmp_path):
    junk = write(tmp_path / "junk.pem", b"no pem")
    stranger = house.ca.issue("stranger")
    locked = house.ca.issue("locked")
    encrypt(locked, b"secret")
    cases = {
        "there is none": (house.uplink(ca_file=tmp_path / "none.pem"), ("CA", "none.pem")),
        "no authority in it": (house.uplink(ca_file=junk), ("CA", "junk.pem", "PEM")),
        "no certificate": (house.uplink(cert_file=tmp_path / "none.pem"), ("certificate", "none")),
        "no key": (house.uplink(key_file=tmp_path / "none.key"), ("key file", "none.key")),
        "no key in it": (house.uplink(key_file=junk), ("certificate and key", "PEM")),
        "another's key": (house.uplink(key_file=stranger.key), ("does not belong",)),
        "a folder": (house.uplink(cert_file=tmp_path), ("certificate", "directory")),
        "a password": (
            house.uplink(cert_file=locked.cert, key_file=locked.key), ("password", "0600")
        ),
    }  # fmt: skip
    for name, (uplink, words) in cases.items():
        refused = await refusal(uplink, house.mutual)
        assert refused.why == "tls_files", name
        for word in words:
            assert word in refused.detail, (name, refused.detail)


def test_the_context_verifies_chain_and_name_whatever_the_site_says(house):
    for uplink in (house.uplink(), house.uplink(ca_file=None, cert_file=None, key_file=None)):
        context = tls.context_of(uplink)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
