"""Against paho's own packets, and what a broker may send that is none."""

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.drivers import packets
from gateway.drivers.packets import Packet, PacketBroken

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311


def of_paho(
    topic: str, payload: bytes, mid: int, *, qos: int, retain: bool, version: MQTTProtocolVersion
) -> bytes:
    """The bytes that paho would write for it."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=version)
    client.on_socket_register_write = lambda *_: None  # so that it is only queued
    client._sock = object()
    client._send_publish(mid, topic.encode(), payload, qos, retain)
    (queued,) = client._out_packet
    client._sock = None
    return bytes(queued["packet"])


@pytest.mark.parametrize("version", [V5, V311])
@pytest.mark.parametrize(("qos", "retain"), [(0, False), (1, False), (1, True)])
@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 16_383, 16_384, 65_536, 2_100_000])
def test_a_publish_is_byte_for_byte_what_paho_sends(version, qos, retain, size):
    topic, payload = "care/1/榆园/up/r", b"\xff" * size
    ours = packets.publish(
        topic, payload, 0xABCD, qos=qos, retain=retain, has_properties=version == V5
    )
    assert ours == of_paho(topic, payload, 0xABCD, qos=qos, retain=retain, version=version)
    assert packets.first_packet(bytearray(ours), 0, len(ours)).end == len(ours)


@pytest.mark.parametrize("topic", ["", "care/+/x", "care/#", "a\0b", "x" * 65_536])
def test_a_topic_that_nobody_may_publish_on_is_refused(topic):
    with pytest.raises(ValueError, match="no topic"):
        packets.publish(topic, b"", 1, qos=1, retain=False, has_properties=True)


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 64))
def test_packets_are_found_whole_however_they_arrive(bodies, piece):
    wire = b"".join(
        packets.publish("t", body, 7, qos=1, retain=False, has_properties=True) for body in bodies
    )
    arrived, found, at = bytearray(), [], 0
    for start in range(0, len(wire), piece):
        arrived += wire[start : start + piece]
        while (packet := packets.first_packet(arrived, at)) is not None:
            found.append(bytes(arrived[packet.body + 6 : packet.end]))
            at = packet.end
    assert found == bodies
    assert at == len(wire)


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (b"\x40\x02\x04\x01", (0x401, 0)),  # 3.1.1, and MQTT 5 when all is well
        (b"\x40\x03\xff\xff\x10", (0xFFFF, 0x10)),
        (b"\x40\x04\x00\x09\x87\x00", (9, 0x87)),
        (b"\x40\x0b\x00\x09\x97\x07\x1f\x00\x04full", (9, 0x97)),  # with a reason string
    ],
)
def test_a_puback_tells_its_message_and_why(wire, expected):
    data = bytearray(b"\xd0\x00" + wire)  # behind a PINGRESP
    assert packets.first_packet(data, 0) == Packet(0xD0, 2, 2)
    packet = packets.first_packet(data, 2)
    assert packet.head == packets.PUBACK
    assert packets.answer(data, packet) == expected


def test_what_can_be_no_packet_is_said_so():
    with pytest.raises(PacketBroken):
        packets.first_packet(bytearray(b"\x40\x80\x80\x80\x80\x01"), 0)
    short = bytearray(b"\x40\x01\x05")
    with pytest.raises(PacketBroken):
        packets.answer(short, packets.first_packet(short, 0))


def test_more_than_the_contract_knows_is_not_waited_for():
    begun = b"\x32" + packets._length(packets.LARGEST)
    assert packets.first_packet(bytearray(begun), 0) is None
    begun = b"\x32" + packets._length(packets.LARGEST + 1)
    with pytest.raises(PacketBroken, match=str(packets.LARGEST + 1)):
        packets.first_packet(bytearray(begun), 0)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_packet_or_broken_or_wait_for_more(data):
    try:
        packet = packets.first_packet(bytearray(data), 0)
    except PacketBroken:
        is_endless = len(data) >= 5 and all(byte >= 0x80 for byte in data[1:5])
        is_large = sum((byte & 0x7F) << 7 * n for n, byte in enumerate(data[1:5])) > packets.LARGEST
        assert is_endless or is_large
    else:
        if packet is not None:
            assert packet.head == data[0]
            assert 1 < packet.body <= packet.end <= len(data)
