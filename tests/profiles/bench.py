"""A site of one shipped device whose registers a test sets: words in, what the house makes of them.

The daemon's own way without its loop: site file, planner, decoder, `step`.
"""

import json

from gateway.config.load import load_site
from gateway.core.blocks import plan_blocks
from gateway.core.decode import decode_block
from gateway.core.messages import sender_of
from gateway.core.state import house_of, state_of
from gateway.core.step import step
from gateway.domain import events
from gateway.domain.moments import Clk, Now


def now(ms):
    return Now(ms, 1_790_000_000_000 + ms, Clk.SYNC, 40, "b00t")


class Bench:
    """`device` is called d; `memory` is table -> {address: word}."""

    def __init__(self, folder, profile, more="", bus="{tcp: host}"):
        path = folder / f"{profile}.yaml"
        path.write_text(
            "site: {id: t, name: T, institution: elder-care}\n"
            f"buses: {{b: {bus}}}\n"
            f"devices: {{d: {{profile: {profile}, bus: b, unit: 1, place: P, owner: O{more}}}}}\n",
            encoding="utf-8",
        )
        loaded = load_site(path)
        assert loaded.site is not None, loaded.problems
        self.problems = loaded.problems
        self.site = loaded.site
        (self.device,), (self.bus,) = self.site.devices, self.site.buses
        self.blocks = plan_blocks(self.device, self.bus)
        house = house_of(self.site, sender_of(self.site, "epoch0000001"), "0.1.0")
        self.state = state_of(house, (), now(0))
        self.ms = 0
        self.raised = []  # (rule name, severity) in the order of raising

    def point(self, name):
        return self.site.points[f"d.{name}"]

    def read(self, memory):
        """One sweep of all blocks, a second after the last; words not given are 0."""
        self.ms += 1_000
        for block in self.blocks:
            table = memory.get(block.table, {})
            words = [table.get(at, 0) for at in range(block.start, block.start + block.count)]
            readings = decode_block(block, words, self.ms)
            self._take(events.BlockRead("b", "d", readings))
        return self

    def wait(self, seconds, memory):
        """Sweep for so long."""
        for _ in range(seconds):
            self.read(memory)
        return self

    def said(self, name):
        """(value, quality, reason) of the point as the house has it now."""
        reading = self.state.devices["d"].points[f"d.{name}"].reading
        return reading.value, reading.quality.value, reading.reason

    def value(self, name):
        value, quality, reason = self.said(name)
        return value if quality == "good" else (quality, reason)

    @property
    def alarms(self):
        return {rule for rule, severity in self.raised if severity == "alarm"}

    def _take(self, event):
        self.state, outcome = step(self.state, event, now(self.ms))
        for record in outcome.records:
            body = json.loads(record.body)
            if record.kind == "alarm" and body["tr"] == "raise":
                self.raised.append((body["rule"].removeprefix("d."), body["sev"]))
