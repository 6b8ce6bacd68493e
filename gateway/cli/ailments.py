"""What `doctor` makes of faults that the daemon tells: a technician's cure, and what explains what.

On the panel and the duty page a fault says "call the technician"; this is who was called.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.cli.saying import say
from gateway.core.faults import rule_of_fault_id
from gateway.domain.details import detail_text
from gateway.domain.findings import Finding, Grade, bad
from gateway.domain.site import Site
from gateway.domain.text import Lang, Text

_CALLS = ("通知运维", "联系厂家")  # steps that send for whoever is reading this
_REPORT = Text(
    "care-gateway report 生成支持包，发给厂家", "send the maker the file of `care-gateway report`"
)
_LINK = Text("care-gateway uplink status 看原因", "`care-gateway uplink status` says why")
_DEVICE = Text(
    "care-gateway bus read BUS --unit UNIT --profile PROFILE 读它，与铭牌核对",
    "read it with `care-gateway bus read BUS --unit UNIT --profile PROFILE`; compare its label",
)
_NFC = Text("care-gateway nfc doctor 看原因", "`care-gateway nfc doctor` says why")

# by the code of the fault (core.faults)
CURES: Mapping[str, Text] = {
    "device_silent": Text(
        "care-gateway bus scan BUS 看线上答话的站号，与站点文件核对",
        "`care-gateway bus scan BUS` says which units answer; compare them with the site file",
    ),
    "device_refuses": _DEVICE,
    "points_unanswered": _DEVICE,
    "readings_invalid": _DEVICE,
    "wrong_device": _DEVICE,
    "bus_down": Text(
        "care-gateway bus stats BUS 和 journalctl -u care-gateway 看原因",
        "`care-gateway bus stats BUS` and `journalctl -u care-gateway` say why",
    ),
    "bus_silent": Text(
        "care-gateway bus scan BUS 看有没有站号答话，波特率和校验是否与设备一致",
        "`care-gateway bus scan BUS` says whether any unit answers, and at which speed and parity",
    ),
    "foreign_master": Text(
        "care-gateway bus stats BUS 看外来帧数；找出另一台主机并断开",
        "`care-gateway bus stats BUS` counts its frames; find it and take it off the line",
    ),
    "detection_late": Text(
        "care-gateway plan 看哪条总线太满，分成两条",
        "`care-gateway plan` says which bus is too full: make two lines of it",
    ),
    "rule_failed": _REPORT,
    "rule_out_of_service": _REPORT,
    "function_failed": _REPORT,
    "task_failed": _REPORT,
    "inbox_overrun": _REPORT,
    "panel_failing": Text(
        "journalctl -u care-gateway 看原因；修好后 care-gateway panel test",
        "`journalctl -u care-gateway` says why; when it is mended, `care-gateway panel test`",
    ),
    "store_failing": Text(
        "dmesg 看磁盘错误；插上U盘，care-gateway db backup /media/stick 备份后换卡",
        "`dmesg` shows errors of the disk; copy to a stick with `care-gateway db backup"
        " /media/stick`, then replace the card",
    ),
    "store_slow": Text(
        "dmesg 看磁盘错误；插上U盘，care-gateway db backup /media/stick 备份后换卡",
        "`dmesg` shows errors of the disk; copy to a stick with `care-gateway db backup"
        " /media/stick`, then replace the card",
    ),
    "store_corrupt": Text(
        "care-gateway db check 看现在的数据库；再次发生就换卡",
        "`care-gateway db check` looks at the present one; replace the card when it happens again",
    ),
    "store_row_damaged": Text(
        "care-gateway record verify 看是哪一条；再次发生就换卡",
        "`care-gateway record verify` says which; replace the card when it happens again",
    ),
    "store_pressure": Text(
        "du -xh / | sort -h | tail 看谁占用磁盘，清理",
        "`du -xh / | sort -h | tail` says what takes the disk: remove that",
    ),
    "uplink_down": _LINK,
    "uplink_unheard": _LINK,
    "uplink_refused": Text(
        "核对 uplink.username、密码文件和证书；平台要给这个网关编号放行 care/1/<编号>/#",
        "check uplink.username, the password file and the certificate; the platform must allow this"
        " gateway care/1/<its id>/#",
    ),
    "uplink_tls_files": Text(
        "openssl x509 -in 证书 -noout -subject -dates 看能否读；须是 PEM，密钥不带密码",
        "`openssl x509 -in FILE -noout -subject -dates` must read it; a key without password",
    ),
    "uplink_tls": _LINK,
    "record_parked": Text(
        "care-gateway uplink status 列出它和原因；原因是字节数或断开连接（closes the link）时，"
        "请平台把消息服务器的最大报文调到 64 kB 以上；其他原因把支持包发给平台",
        "`care-gateway uplink status` lists it and why: where that is its bytes or `closes the"
        " link`, the platform's broker must take packets of 64 kB; else send them a report",
    ),
    "tag_keys_unread": Text(
        "每个文件 32 个十六进制字符，care-gateway 能读",
        "32 hexadecimal digits in each file, readable for care-gateway",
    ),
    "reader_failed": _NFC,
    "reader_gone": Text(
        "systemctl status care-gateway-reader 看原因",
        "`systemctl status care-gateway-reader` says why",
    ),
    "disk_short": Text(
        "du -xh / | sort -h | tail 看谁占用磁盘，清理",
        "`du -xh / | sort -h | tail` says what takes the disk: remove that",
    ),
    "clock_unsure": Text(
        "timedatectl 查看；/etc/systemd/timesyncd.conf 里写能到的 NTP 服务器",
        "see `timedatectl`; name a server that it can reach in /etc/systemd/timesyncd.conf",
    ),
    "self_test_failed": Text(
        "停在哪一步写在上面；journalctl -u care-gateway 有原因",
        "where it stopped stands above; `journalctl -u care-gateway` has the reason",
    ),
}

_PORT = ("port_missing", "port_ambiguous", "port_denied", "port_taken", "port_not_allowed")
_SECRET = ("secret_missing", "secret_denied")
_DISK = ("store_denied", "store_missing", "store_newer", "disk_read_only", "disk_low")
# fault -> findings that explain it: those about the same thing, and those about anything
_OF_THE_SAME: Mapping[str, Sequence[str]] = {
    "bus_down": (*_PORT, "tcp_unreachable"),
    "bus_silent": (*_PORT, "tcp_unreachable"),
}
_OF_ANY: Mapping[str, Sequence[str]] = {
    "panel_failing": ("gpio_missing", "gpio_denied", "gpio_library", "gpio_taken"),
    "store_failing": _DISK,
    "store_pressure": ("disk_low",),
    "tag_keys_unread": _SECRET,
    "gateway_hot": ("board_hot",),
    "supply_low": ("board_under_voltage",),
    "memory_short": ("board_memory",),
    "storage_worn": ("disk_worn",),
    "disk_short": ("disk_low",),
    "clock_unsure": ("clock_unsynced",),
}
_READER = (*_PORT, "reader_kernel", "reader_denied", "unit_down", "unit_masked", "unit_missing")
_READER_UNIT = "care-gateway-reader.service"
_UNIT = ("unit_down", "unit_masked", "unit_missing")
_DAEMON_UNIT = "care-gateway.service"


def fault_findings(answer: Mapping[str, Any], site: Site | None = None) -> Iterator[Finding]:
    """One finding for each open fault of a `status`; drills and tests are none.

    `site`: where the fault is, for the commands that ask there.
    """
    for row in answer.get("alarms") or ():
        if not isinstance(row, Mapping) or row.get("severity") != "fault":
            continue
        if row.get("is_drill") or row.get("is_test"):
            continue
        rule = str(row.get("rule") or "")
        yield bad(
            "fault_open",
            Text(_said(row, Lang.ZH), _said(row, Lang.EN)),
            _there(_cure(row, rule), rule, site),
            rule,
        )


def _said(row: Mapping[str, Any], lang: Lang) -> str:
    detail = detail_text(str(row.get("detail") or "")).in_(lang)
    parts = (say(row.get("say"), lang), say(row.get("place"), lang), detail)
    return "  ".join(part for part in parts if part)


def _cure(row: Mapping[str, Any], rule: str) -> Text:
    steps = [Text(say(step, Lang.ZH), say(step, Lang.EN)) for step in row.get("do") or ()]
    return cure_of(_code_of(rule), steps)


def _there(cure: Text, rule: str, site: Site | None) -> Text:
    """The commands with the names of the bus and the device, where the fault is about them."""
    subject = _fault_of(rule)[1]
    names = {"BUS": ""}
    for device in site.devices if site is not None else ():
        if device.id == subject:
            names = {"BUS": device.bus, "UNIT": str(device.unit), "PROFILE": device.profile}
    if site is not None and subject in {bus.id for bus in site.buses}:
        names = {"BUS": subject}
    return Text(_filled(cure.zh, names), _filled(cure.en, names))


def _filled(text: str, names: Mapping[str, str]) -> str:
    for word, name in names.items():
        text = re.sub(rf" {word}\b", f" {name}" if name else "", text)
    return text


def cure_of(fault: str, steps: Sequence[Text]) -> Text:
    """The steps for people in the house, with a technician's own in place of calling one."""
    known = CURES.get(fault)
    said = [step for step in steps if known is None or not step.zh.startswith(_CALLS)]
    said += [] if known is None else [known]
    return Text("；".join(each.zh for each in said), "; ".join(each.en for each in said))


def _code_of(rule: str) -> str:
    """`bus_down` of `gateway/bus_down/line`; of a rule on a point of ours, the rule's name."""
    return rule.split("/")[1] if rule_of_fault_id(rule) else rule.rpartition("/")[2]


def explained(found: Sequence[Finding]) -> list[Finding]:
    """The same findings; those that follow from another one name it in `because`."""
    wrong = [each for each in found if each.grade is Grade.BAD]
    return [
        replace(each, because=_cause(each, wrong)) if each.grade is Grade.BAD else each
        for each in found
    ]


def _cause(finding: Finding, wrong: Sequence[Finding]) -> str:
    return next((each.code for each in wrong if _explains(each, finding)), "")


def _explains(cause: Finding, finding: Finding) -> bool:
    match finding.code:
        case "daemon_silent":
            return cause.code in _UNIT and cause.about == _DAEMON_UNIT
        case "broker_tls_not_yet_valid":
            return cause.code == "clock_unsynced"
        case "broker_tls_files":
            return cause.code in _SECRET
        case "broker_tls_refused":
            return cause.code == "certificate_ended"
        case "fault_open":
            return _explains_fault(cause, *_fault_of(finding.about))
        case _:
            return False


def _fault_of(rule: str) -> tuple[str, str]:
    """Code and subject."""
    parts = rule.split("/", 2)
    return (parts[1], parts[2]) if rule_of_fault_id(rule) else (_code_of(rule), "")


def _explains_fault(cause: Finding, fault: str, subject: str) -> bool:
    if cause.code in _OF_THE_SAME.get(fault, ()):
        return cause.about == subject
    if fault in ("reader_failed", "reader_gone"):
        return cause.code in _READER and cause.about in ("reader", _READER_UNIT)
    if fault.startswith("uplink_") or fault == "platform_absent":
        return cause.code.startswith("broker_") or cause.code in _SECRET
    return cause.code in _OF_ANY.get(fault, ())
