"""The bare loop that the daemon is measured against: reads and publishes; judges, stores nothing.

python -m scripts.benchmarks.bare --broker PATH --units 10 --registers 40 --period 1.0 PORT ...
"""

import argparse
import asyncio
import json
import struct
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import AsyncModbusTcpClient

MOST_WAITING = 500  # messages inside paho: without a bound a fast reader only fills memory


async def read_bus(mqtt: Any, port: int, units: int, registers: int, period: float) -> None:
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    loop, form, waiting = asyncio.get_running_loop(), f">{registers}H", []
    due = loop.time()
    while True:
        for unit in range(1, units + 1):
            reply = await client.read_input_registers(0, count=registers, device_id=unit)
            words = struct.unpack(form, struct.pack(form, *reply.registers))
            body = json.dumps({f"n{n}": word / 10 for n, word in enumerate(words)})
            waiting.append(mqtt.publish(f"bare/{port}/{unit}", body, qos=1))
            while len(waiting) > MOST_WAITING:
                await asyncio.sleep(0.001)
                waiting = [info for info in waiting if not info.is_published()]
        waiting = [info for info in waiting if not info.is_published()]
        due = max(due + period, loop.time() - period)
        await asyncio.sleep(max(0.0, due - loop.time()))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", required=True, help="path of the broker's socket")
    parser.add_argument("--units", type=int, default=1)
    parser.add_argument("--registers", type=int, default=40)
    parser.add_argument("--period", type=float, default=1.0)
    parser.add_argument("ports", type=int, nargs="+")
    at = parser.parse_args()
    mqtt = Client(CallbackAPIVersion.VERSION2, transport="unix")
    mqtt.connect(at.broker)
    mqtt.loop_start()
    await asyncio.gather(
        *(read_bus(mqtt, port, at.units, at.registers, at.period) for port in at.ports)
    )


if __name__ == "__main__":
    asyncio.run(main())
