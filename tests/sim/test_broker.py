"""The demo's broker comes up, goes away, and comes back at the same address."""

from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.sim.broker import BrokerMissing, SimBroker, find_mosquitto, open_broker, start, stop


def connects(url: str) -> bool:
    """One MQTT 3.1.1 connection: CONNECT is answered with success."""
    if url.startswith("mqtt+unix://"):
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311, transport="unix")
        host, port = url.removeprefix("mqtt+unix://"), 1
    else:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        host, port = "127.0.0.1", int(url.rsplit(":", 1)[1])
    answers: list[bool] = []
    client.on_connect = lambda c, u, f, reason, p: answers.append(not reason.is_failure)
    try:
        client.connect(host, port, keepalive=5)
    except OSError:
        return False
    while not answers and client.loop(timeout=5.0) == mqtt.MQTT_ERR_SUCCESS:
        pass
    client.disconnect()
    return answers == [True]


async def check_goes_and_comes_back(broker: SimBroker) -> None:
    assert connects(broker.url)
    first = broker.process.pid
    await stop(broker)
    assert not connects(broker.url)
    await start(broker)
    assert broker.process.pid != first
    assert connects(broker.url)


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_mosquitto_goes_away_and_comes_back_under_the_same_address(tmp_path: Path) -> None:
    async with open_broker(tmp_path) as broker:
        assert broker.name.startswith("mosquitto")
        await check_goes_and_comes_back(broker)
    assert broker.process is None


async def test_the_embedded_broker_stands_in_where_there_is_no_mosquitto(tmp_path: Path) -> None:
    pytest.importorskip("amqtt")
    async with open_broker(tmp_path, embedded=True) as broker:
        assert "3.1.1 only" in broker.name
        await check_goes_and_comes_back(broker)


async def test_a_broker_that_ends_at_once_says_why(tmp_path: Path) -> None:
    argv = ("/bin/sh", "-c", "echo no such setting >&2; exit 3")
    broken = SimBroker("sh", f"mqtt+unix://{tmp_path}/no.sock", argv, tmp_path / "log")
    with pytest.raises(BrokerMissing, match="no such setting"):
        await start(broken)
    await stop(broken)
