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
        Text("部分监测点读不到", "Some points are not answered"),
        (Text("通知运维", "Call the technician"),),
    ),
    "readings_invalid": (
        Text("监测点数据无效", "Readings make no sense"),
        (
            Text("查传感器和接线", "Check the probe and its wiring"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "wrong_device": (
        Text("应答的不是这台设备", "Another device answers in its place"),
        (
            Text("查站号是否重复或接错", "Check for a unit used twice or swapped wires"),
            Text("通知运维核对设备型号", "Call the technician: check the device's profile"),
        ),
    ),
    "residual_ct": (
        Text("漏电随负荷同步变化，互感器可能漏穿一根线", "Leakage follows the load: check its CT"),
        (
            Text("查剩余电流互感器：相线、零线都要穿过", "All live wires and N go through the CT"),
            Text("PE线不能穿过", "PE must not go through it"),
        ),
    ),
    "calibration_soon": (
        Text("传感器快到检定日期", "Calibration is due soon"),
        (Text("联系维保单位安排检定", "Have it calibrated: call the maintenance company"),),
    ),
    "calibration_overdue": (
        Text("传感器检定过期，数值可疑", "Calibration is overdue, its values are suspect"),
        (
            Text("加强该处人工巡查", "Patrol the place more often"),
            Text("马上安排检定", "Have it calibrated now"),
        ),
    ),
    "sensor_life_soon": (
        Text("传感器快到使用寿命", "The sensor is close to the end of its life"),
        (Text("订购新探头", "Order a new one"),),
    ),
    "sensor_life_over": (
        Text("传感器超过使用寿命，数值可疑", "The sensor is past its life, its values are suspect"),
        (
            Text("加强该处人工巡查", "Patrol the place more often"),
            Text("马上更换探头", "Replace it now"),
        ),
    ),
    "bump_test_soon": (
        Text("探头快到通气试验日期", "Its test with gas is due soon"),
        (Text("联系维保单位安排试验", "Have it tested: call the maintenance company"),),
    ),
    "bump_test_overdue": (
        Text("探头通气试验过期，可能已失灵", "Its test with gas is overdue, it may see no gas"),
        (
            Text("加强该处人工巡查", "Patrol the place more often"),
            Text("马上做通气试验", "Test it with gas now"),
        ),
    ),
    "bus_down": (
        Text("总线中断", "Bus is down"),
        (
            Text("查USB转换器或网线", "Check the USB adapter or network cable"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "bus_silent": (
        Text("总线上所有设备失联", "No device of the bus responds"),
        (
            Text("查设备电源和总线电缆", "Check the devices' power and the bus cable"),
            Text("查A/B线是否接反", "Check that A and B are not swapped"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "foreign_master": (
        Text("总线上另有主机在读取设备", "Another master reads devices on this bus"),
        (
            Text("断开另一台主机，或给它单独布线", "Take it off the line, or give it its own"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "detection_late": (
        Text("监测点读取变慢，报警会迟", "Points are read late: alarms would be late"),
        (
            Text("加强人工巡查", "Look after the place in person"),
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
    "function_failed": (
        Text("网关一项功能出错", "A function of the gateway failed"),
        (Text("通知运维", "Call the technician"),),
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
        (
            Text("通知运维按原因处理", "Call the technician, who acts on the reason"),
            Text(
                "原因是读写错误就换存储卡", "For an error of reading or writing: replace the card"
            ),
        ),
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
    "store_pressure": (
        Text("存储空间不足", "Storage runs full"),
        (Text("通知运维清理磁盘", "Call the technician: free the disk"),),
    ),
    "uplink_down": (
        Text("与平台断开", "Connection to the platform is down"),
        (Text("查网络", "Check the network"), Text("通知运维", "Call the technician")),
    ),
    "uplink_unheard": (
        Text("消息服务器上无人接收", "Nobody at the broker takes what is sent"),
        (Text("通知平台运维", "Call the platform's operator"),),
    ),
    "uplink_refused": (
        Text("平台拒绝连接", "Platform's broker refuses the connection"),
        (Text("通知运维核对账号和证书", "Call the technician: check account and certificate"),),
    ),
    **{
        f"uplink_refused/{what}": (
            Text(f"消息服务器不收{zh}", f"The broker does not take {en}"),
            (
                Text(
                    "看原因：未授权就请平台运维给这个主题放行",
                    "Not authorized: have the platform allow this topic",
                ),
                Text("其他原因通知平台运维", "Anything else: call the platform's operator"),
            ),
        )
        for what, zh, en in (
            ("A", "报警和预警", "alarms and warnings"),
            ("B", "故障和事件", "faults and events"),
            ("R", "读数", "readings"),
            ("state", "网关状态", "the gateway's state"),
            ("points", "监测点清单", "the list of points"),
        )
    },
    "platform_absent": (
        Text("平台无应答", "Platform does not answer"),
        (Text("通知平台运维", "Call the platform's operator"),),
    ),
    "audience_silent": (
        Text("报警没有人签收", "An audience gave no receipt of an alarm"),
        (Text("打电话通知", "Tell them by telephone"),),
    ),
    "audience_silent/inst": (
        Text("机构负责人没有签收报警", "The head of the institution gave no receipt of an alarm"),
        (Text("电话通知机构负责人", "Telephone the head of the institution"),),
    ),
    "audience_silent/civil": (
        Text("民政部门没有签收报警", "The bureau gave no receipt of an alarm"),
        (Text("电话通知民政部门", "Telephone the civil-affairs bureau"),),
    ),
    "audience_silent/fire": (
        Text("消防部门没有签收报警", "The fire brigade gave no receipt of an alarm"),
        (
            Text("有火情立即拨打119", "If there is a fire, call 119 at once"),
            Text("没有火情电话告知消防部门", "If not, tell the fire brigade by telephone"),
        ),
    ),
    "record_parked": (
        Text("记录被平台拒收", "Platform rejected a record"),
        (Text("通知运维", "Call the technician"),),
    ),
    "post_check_missed": (
        Text("查岗无人应答", "Post check: no answer"),
        (
            Text("派人到值班室查看", "Send somebody to the duty desk"),
            Text("按消音键应答", "Answer with the silence button"),
        ),
    ),
    "round_missed": (
        Text("漏巡", "A patrol round was missed"),
        (
            Text("派人补巡", "Send somebody round now"),
            Text("在巡查页写明原因", "Write down why, on the patrol page"),
        ),
    ),
    "rounds_missed": (
        Text("连续漏巡", "Patrol rounds missed in a row"),
        (
            Text("派人到岗补巡", "See who is on duty, send somebody round"),
            Text("在巡查页写明原因", "Write down why, on the patrol page"),
        ),
    ),
    "self_test_failed": (
        Text("夜间自检未通过", "Nightly self-test failed"),
        (
            Text("加强人工巡查", "Look after the place in person"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "reader_failed": (
        Text("读卡器故障，不能贴卡", "The card reader fails: taps are not taken"),
        (
            Text("拔下读卡器再插上", "Unplug the reader and plug it in again"),
            Text("巡查改用手机", "Patrol with the phone meanwhile"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "tag_keys_unread": (
        Text(
            "读不到标签密钥，加密标签的巡查不能记录",
            "The keys of signing tags cannot be read: visits at these tags are not taken",
        ),
        (
            Text("核对密钥文件的路径、权限和内容", "Check the key files: path, permissions, text"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "reader_gone": (
        Text("读卡器程序没有响应，不能贴卡", "The reader's process is silent: taps are not taken"),
        (
            Text("巡查改用手机", "Patrol with the phone meanwhile"),
            Text("通知运维", "Call the technician"),
        ),
    ),
    "inbox_overrun": (
        Text("网关过载", "Gateway is overloaded"),
        (Text("通知运维", "Call the technician"),),
    ),
}
_CALL = Text("通知运维", "Call the technician")
_CALL_PLATFORM = Text("通知平台运维", "Call the platform's operator")
_CLOCK = Text("核对网关时间", "Check the gateway's clock")

# Why there is no link (`domain.errors.LinkRefused`, `LinkLost`): what it means and what to do.
LINK_FAILURES: dict[str, tuple[Text, tuple[Text, ...]]] = {
    "dns": (
        Text("消息服务器域名无法解析", "The broker's name cannot be resolved"),
        (
            Text("查网络和DNS", "Check the network and its name server"),
            Text("核对服务器名拼写", "Check how the name is spelled"),
        ),
    ),
    "tcp_refused": (
        Text("消息服务器端口无人监听", "Nobody listens on the broker's port"),
        (Text("核对端口", "Check the port"), _CALL_PLATFORM),
    ),
    "tcp_unreachable": (
        Text("到消息服务器没有通路", "There is no way to the broker"),
        (Text("查网线、路由和上网卡", "Check cable, router and modem"),),
    ),
    "tcp": (
        Text("与消息服务器的连接失败", "The connection to the broker fails"),
        (Text("查网络", "Check the network"),),
    ),
    "timeout": (
        Text("消息服务器无应答", "The broker does not answer"),
        (Text("查网络和防火墙", "Check network and firewall"), _CALL_PLATFORM),
    ),
    "tls_ca": (
        Text("服务器证书不受信任", "The broker's certificate is not from an authority we trust"),
        (Text("核对tls.ca文件", "Check the file tls.ca"), _CALL_PLATFORM),
    ),
    "tls_name": (
        Text("服务器证书的名称不符", "The broker's certificate is for another host name"),
        (
            Text("brokers要写证书上的名称", "Write the name on the certificate into brokers"),
            _CALL_PLATFORM,
        ),
    ),
    "tls_expired": (
        Text("服务器证书已过期", "The broker's certificate has expired"),
        (_CLOCK, Text("通知平台换证书", "Have the platform renew its certificate")),
    ),
    "tls_not_yet_valid": (
        Text(
            "网关时钟不对：服务器证书尚未生效",
            "The gateway's clock is wrong: by it, the broker's certificate is not valid yet",
        ),
        (_CLOCK, Text("网关会一直重试", "The gateway keeps trying")),
    ),
    "tls_refused": (
        Text("服务器不认可网关的证书", "The broker refuses the gateway's certificate"),
        (
            Text("查网关证书的期限和签发者", "Check its expiry and who signed it"),
            _CALL_PLATFORM,
        ),
    ),
    "tls_no_cert": (
        Text("服务器要求网关出示证书", "The broker wants a certificate of the gateway"),
        (Text("配置tls.cert和tls.key", "Set tls.cert and tls.key"),),
    ),
    "tls_plain": (
        Text("该端口不用TLS", "The broker's port speaks no TLS"),
        (Text("改用TLS端口，通常8883", "Use its TLS port, mostly 8883"),),
    ),
    "tls_expected": (
        Text("该端口只用TLS", "The broker's port speaks TLS only"),
        (Text("brokers改为mqtts://", "Write mqtts:// into brokers"),),
    ),
    "tls_files": (
        Text("证书或密钥文件不可用", "A certificate or key file cannot be used"),
        (Text("核对tls下的文件", "Check the files under tls"), _CALL),
    ),
    "tls": (
        Text("TLS握手失败", "The TLS handshake fails"),
        (_CALL,),
    ),
    "auth": (
        Text("服务器不认可账号", "The broker does not accept the account"),
        (Text("核对用户名和密码", "Check user name and password"), _CALL_PLATFORM),
    ),
    "refused": (
        Text("服务器拒绝连接", "The broker refuses the connection"),
        (_CALL_PLATFORM,),
    ),
    "identity_in_use": (
        Text("另一台网关在用同一编号", "Another gateway uses the same id"),
        (
            Text("是否复制过存储卡？只留一台", "Was the card copied? Leave only one running"),
            Text("给另一台换编号和证书", "Give the other one an id and certificate of its own"),
        ),
    ),
    "lost": (
        Text("连接中断", "The connection was lost"),
        (Text("查网络", "Check the network"),),
    ),
    "no_puback": (
        Text("消息服务器停止应答", "The broker stopped answering"),
        (Text("查网络", "Check the network"), _CALL_PLATFORM),
    ),
}
# What does not go away by itself is a fault at once; the rest is `uplink_down` when it lasts.
LINK_FAULTS: dict[str, str] = {
    "auth": "uplink_refused",
    "refused": "uplink_refused",
    **{why: f"uplink_{why}" for why in LINK_FAILURES if why.startswith("tls")},
}
FAULTS |= {fault: LINK_FAILURES[why] for why, fault in LINK_FAULTS.items() if why[:3] == "tls"}
FAULTS["identity_in_use"] = LINK_FAILURES["identity_in_use"]

_OTHER = (
    Text("网关故障", "Fault of the gateway"),
    (Text("通知运维", "Call the technician"),),
)


def fault_id(code: str, subject: str) -> str:
    return f"gateway/{code}/{subject}"


@lru_cache(maxsize=4096)
def fault_rule(code: str, subject: str) -> Rule:
    """The rule under which a fault of the gateway lives: no delay, no latch, pattern F."""
    say, do = FAULTS.get(f"{code}/{subject}") or FAULTS.get(code, _OTHER)
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
