"""The gateway's own faults: what each is called, and what people shall do about it.

A fault lives in the same alarm table as any alarm, under a rule made from this list; its id is
`gateway/<code>/<subject>`.
"""

from functools import lru_cache

from gateway.domain.readings import Quality
from gateway.domain.rules import Is, Rule, Severity, Sound
from gateway.domain.text import Text

OWNER = "运维"

FAULTS: dict[str, tuple[Text, tuple[Text, ...]]] = {
    "device_silent": (
        Text("设备失联", "Device does not respond"),
        (
            Text("查设备电源", "Check the device's power"),
            Text("查通信线", "Check the bus cable"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "device_refuses": (
        Text("设备拒绝读取", "Device refuses to be read"),
        (Text("通知运维核对设备型号", "Call the technician: check the device's profile"),),
    ),
    "points_unanswered": (
        Text("部分测点读不到", "Some points are not answered"),
        (Text("通知运维", "Call the technician"),),
    ),
    "readings_invalid": (
        Text("测点数据无效", "Readings make no sense"),
        (
            Text("查传感器和接线", "Check the probe and its wiring"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "bus_down": (
        Text("总线中断", "Bus is down"),
        (
            Text("查USB转换器或网线", "Check the USB adapter or network cable"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "rule_failed": (
        Text("规则计算出错", "A rule failed"),
        (Text("通知运维", "Call the technician"),),
    ),
    "rule_out_of_service": (
        Text("规则已停用", "A rule is out of service"),
        (
            Text("人工巡查该处", "Check the place in person"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "task_failed": (
        Text("网关内部任务出错", "A task of the gateway failed"),
        (Text("通知运维", "Call the technician"),),
    ),
    "panel_failing": (
        Text("声光面板故障", "Panel outputs fail"),
        (
            Text("派人值守屏幕", "Have somebody watch the screen"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "store_failing": (
        Text("存储故障", "Storage fails"),
        (Text("通知运维更换存储卡", "Call the technician: replace the memory card"),),
    ),
    "store_slow": (
        Text("存储无响应", "Storage does not respond"),
        (Text("通知运维", "Call the technician"),),
    ),
    "store_corrupt": (
        Text("数据库损坏，已隔离", "Database was damaged and set aside"),
        (Text("通知运维", "Call the technician"),),
    ),
    "store_row_damaged": (
        Text("记录损坏", "A stored record is damaged"),
        (Text("通知运维", "Call the technician"),),
    ),
    "uplink_down": (
        Text("与平台断开", "Connection to the platform is down"),
        (Text("查网络", "Check the network"), Text("通知运维", "Call the technician")),
    ),
    "uplink_refused": (
        Text("平台拒绝连接", "Platform's broker refuses the connection"),
        (Text("通知运维核对账号和证书", "Call the technician: check account and certificate"),),
    ),
    "platform_absent": (
        Text("平台无应答", "Platform does not answer"),
        (Text("通知平台运维", "Call the platform's operator"),),
    ),
    "record_parked": (
        Text("记录被平台拒收", "Platform rejected a record"),
        (Text("通知运维", "Call the technician"),),
    ),
    "inbox_overrun": (
        Text("网关过载", "Gateway is overloaded"),
        (Text("通知运维", "Call the technician"),),
    ),
}
_OTHER = (
    Text("网关故障", "Fault of the gateway"),
    (Text("通知运维", "Call the technician"),),
)


def fault_id(code: str, subject: str) -> str:
    return f"gateway/{code}/{subject}"


@lru_cache(maxsize=4096)
def fault_rule(code: str, subject: str) -> Rule:
    """The rule under which a fault of the gateway lives: no delay, no latch, pattern F."""
    say, do = FAULTS.get(code, _OTHER)
    return Rule(
        id=fault_id(code, subject),
        name=code,
        point="",
        condition=Is(frozenset()),
        severity=Severity.FAULT,
        sound=Sound.F,
        for_ms=0,
        clear_for_ms=0,
        latch=False,
        say=say,
        do=do,
        owner=OWNER,
        basis="design: supervision",
        judges=frozenset[Quality](),
        min_samples=1,
    )


def rule_of_fault_id(rule_id: str) -> Rule | None:
    """The fault rule behind an id of this form; None for any other id."""
    parts = rule_id.split("/", 2)
    if len(parts) != 3 or parts[0] != "gateway":
        return None
    return fault_rule(parts[1], parts[2])
