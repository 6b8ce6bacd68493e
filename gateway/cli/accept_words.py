"""What an acceptance says and asks, in both languages."""

from gateway.core.panel import WORDS as OUTPUTS
from gateway.domain.text import Lang, Text

WORDS = {
    "bus": Text(
        "总线 {bus}：站点文件里有站号 {units}。找一找别的站号：ok=1-32，或写 1-100",
        "Bus {bus}: the site file has units {units}. Look for others: ok=1-32, or type 1-100",
    ),
    "asking": Text(
        "问 {units} 个站号，没有应答时最多约 {time}",
        "asking {units} units: at most {time} if nobody answers",
    ),
    "nobody_else": Text("{units}：没有别的设备", "{units}: nobody else"),
    "others": Text(
        "站点文件里没有的设备：{found}。登记到站点文件，或 f 原因",
        "devices that the site file does not name: {found}. Enter them there, or f WHY",
    ),
    "no_units": Text("`{text}` 不是站号范围，如 1-32", "`{text}` are no units, such as 1-32"),
    "device": Text(
        "设备 {device}（{place}）：总线 {bus} 站号 {unit}，档案 {profile}。{identity}。"
        "装在这里、型号相符：ok",
        "Device {device} ({place}): bus {bus} unit {unit}, profile {profile}; {identity}. "
        "If it hangs there and is that model: ok",
    ),
    "known": Text("自报型号相符：{shown}", "it says itself what it is: {shown}"),
    "plausible": Text("读数合理：{shown}", "what it shows is plausible: {shown}"),
    "unlike": Text(
        "读数不像这个档案：核对型号和站号",
        "what it shows is unlike this profile: compare model and unit",
    ),
    "no_probe": Text("档案没有识别点：核对铭牌", "the profile has no probe: see its plate"),
    "silent": Text("没有应答", "it does not answer"),
    "line_down": Text("总线不通：{why}", "the line is down: {why}"),
    "point": Text(
        "{place} {point} {label}\n  网关：{value}  原始 {words}。仪表显示多少？",
        "{place} {point} {label}\n  the gateway: {value}  raw {words}. What does the display show?",
    ),
    "page": Text(
        "设备 {device} 的其余监测点（没有报警规则）。全部与显示一致：ok；逐个核对：each",
        "The other points of {device} (no rule judges them). All as displayed: ok; singly: each",
    ),
    "candidates": Text(
        "按显示 {shown}，寄存器可能这样读（再用 bus solve 核实）：",
        "A display of {shown} would be read so (make sure with bus solve):",
    ),
    "no_candidates": Text(
        "附近的寄存器没有一种读法给出 {shown}",
        "no way of reading the registers around it gives {shown}",
    ),
    "trip": Text(
        "报警试验 {points}（{place}）：{say}。准备好让设备动作：ok；无法真实动作，用模拟值：sim",
        "Trip test of {points} ({place}): {say}. Ready to trip the device: ok; it cannot be "
        "tripped, simulate a value: sim",
    ),
    "trip_now": Text(
        "测试已开始，报警只在现场响，不通知任何人。现在让设备动作（最多 {seconds} 秒）",
        "Under test: it sounds here and calls nobody. Trip the device now (within {seconds} s)",
    ),
    "simulating": Text("模拟 {rule}……", "simulating {rule} ..."),
    "tripped": Text("已报警：{rules}", "raised: {rules}"),
    "restore": Text(
        "现在恢复设备（最多 {seconds} 秒）", "Restore the device now (within {seconds} s)"
    ),
    "still_over": Text(
        "设备仍在报警状态，测试结束后会真实报警",
        "it is still over its limit: after the test it is a real alarm",
    ),
    "no_trip": Text(
        "没有报警：{rules}。r=再试，f 原因=不合格，s 原因=跳过",
        "not raised: {rules}. r=again, f WHY=failed, s WHY=skip",
    ),
    "panel": Text("面板 {output}：看到或听到了吗", "Panel {output}: do you see or hear it"),
    "button": Text(
        "面板：正在鸣响。按下消音按钮，声音停了再回答 ok",
        "Panel: it sounds. Press the silence button, and say ok when it is quiet",
    ),
    "relay": Text(
        "面板：故障继电器断开 5 秒。接收方收到故障了吗",
        "Panel: the fault relay falls for 5 s. Does the other side show a fault",
    ),
    "tag": Text(
        "巡查点 {code}（{place}）：用手机或读卡器贴标签，然后 ok",
        "Checkpoint {code} ({place}): tap its tag with a phone or at the reader, then ok",
    ),
    "uplink": Text("上传：自检到平台回执……", "Uplink: a self-test to the platform's receipt ..."),
    "uplink_again": Text("再试：r，或 s 原因、f 原因", "again: r, or s WHY, f WHY"),
    "clock": Text(
        "网关时间 {time}（可信度 {clk}，误差 {err} ms；{rtc}）。"
        "与你的表相差不到 2 秒：ok，否则写差几秒",
        "The gateway's time is {time} (trust {clk}, error {err} ms; {rtc}). "
        "Your watch agrees within 2 s: ok, else by how many seconds",
    ),
    "has_rtc": Text("有硬件时钟", "with a hardware clock"),
    "no_rtc": Text("没有硬件时钟", "without a hardware clock"),
    "left": Text("还有 {count} 项未验收：{names}", "{count} not accepted yet: {names}"),
    "nothing_left": Text("全部验收合格", "all of it is accepted"),
    "sign": Text(
        "签字：由 {by} 和机构一方共同签字。机构一方的人员代号（Enter=以后）",
        "Signature: {by} and the institution. Staff code for the institution (Enter=later)",
    ),
    "signed": Text(
        "已签字：{by}、{partner}，记录 {record}", "signed: {by} and {partner}, record {record}"
    ),
    "refused": Text("  ✗ {key}：{why}", "  x {key}: {why}"),
    "done": Text("  ✓ {key} {result}", "  + {key} {result}"),
    "paused": Text(
        "暂停。已验收的已保存，再次运行接着做", "Paused. What was accepted is kept; run it again"
    ),
    "sum": Text(
        "验收 {passed}/{all} 项合格；本次 {steps} 步，{prompts} 次提问，{seconds} 秒",
        "Accepted {passed} of {all}; this time {steps} steps, {prompts} prompts, {seconds} s",
    ),
    "sheet": Text("验收单：{path}（数据：{data}）", "The sheet: {path} (its data: {data})"),
    "cannot_write": Text("写不了 {path}：{why}", "cannot write {path}: {why}"),
    "no_device": Text("站点文件里没有设备 {device}", "the site file has no device {device}"),
}  # fmt: skip
PATTERNS = {
    "E": Text("升级报警声（急促长音）", "escalated alarm (long, fast)"),
    "A1": Text("报警声 A1", "alarm sound A1"),
    "A2": Text("燃气报警声 A2", "gas alarm sound A2"),
    "A3": Text("一氧化碳报警声 A3", "carbon monoxide sound A3"),
    "W": Text("预警声", "warning sound"),
    "F": Text("故障声（20 秒一声）", "fault sound (once in 20 s)"),
    "Q": Text("查岗声", "post check sound"),
    "relay": Text("故障继电器", "fault relay"),
    "silence": Text("消音按钮", "silence button"),
}


def words(name: str, lang: Lang, /, **values: object) -> str:
    return WORDS[name].in_(lang).format(**values)


def output_name(output: str, lang: Lang) -> str:
    """A lamp, the buzzer or a pattern, as it is called on the panel."""
    named = OUTPUTS.get(output) or PATTERNS.get(output)
    return output if named is None else named.in_(lang)
