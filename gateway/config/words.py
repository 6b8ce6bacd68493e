"""What each key of a configuration file means, and what people write instead of it.

The meanings stand in the JSON Schema and in the advice when a key is missing.
"""

from collections.abc import Mapping

from gateway.domain.text import Text

_PERIOD = Text("多久读一次，如 2s", "how often it is read, such as 2s")
_DEADBAND = Text(
    "变化多大才另存一次，带单位，如 2 mA", "a change smaller than this is not stored, such as 2 mA"
)
_LABEL = Text("给人看的名字", "its name for people")
_KIND = Text(
    "监测点的类别，决定默认规则，如 hydrant_pressure",
    "what it measures; its default rules come with this, such as hydrant_pressure",
)
_VALID = Text("可信的范围，如 0..2000；之外算故障", "what can be true, 0..2000; else a fault")
_SPAN = Text(
    "传感器的量程，如 0..1.6；低于 -2% 或高于 102% 算故障",
    "the sensor's range, 0..1.6; under -2 % or over 102 % of it is a fault",
)
_DIRECTION = Text(
    "没有通用限值：场所必须自己给出 above 或 below",
    "there is no limit for all: the site gives its own, above or below",
)

_CONDITION = {
    "point": Text("看哪个监测点：设备.监测点", "the point it judges: device.point"),
    "above": Text("高于这个值，带单位，如 300 mA", "over this, with its unit: 300 mA"),
    "below": Text("低于这个值，带单位，如 0.07 MPa", "under this, with its unit: 0.07 MPa"),
    "is": Text("等于其中一个值，如 [1, 2]", "one of these values, such as [1, 2]"),
    "clears": Text("回到这个值才算恢复", "back to this, and it is over"),
    "rises_by": Text("在 within 之内升高了多少，如 15 K", "rose by so much within `within`: 15 K"),
    "falls_by": Text("在 within 之内降低了多少", "fell by so much within `within`"),
    "deviates_from_mean_of": Text(
        "比这些点的平均值高出 by；others 指同一设备上同类的其他点",
        "over their mean by `by`; others: those of its kind on the same device",
    ),
    "by": Text("高出多少，如 15 K", "by how much, such as 15 K"),
    "more_than": Text(
        "在 within 之内变为 is 的值超过几次（如水泵启动）",
        "it became one of `is` more often than this within `within` (starts of a pump)",
    ),
    "within": Text("在多长时间之内，如 3min、1h", "within how long, such as 3min or 1h"),
    "for": Text("持续多久才算", "how long it must last"),
    "judges": Text("哪些质量的读数也判断", "readings of which quality it judges"),
    "min_samples": Text("至少几次读数超限才算", "how many readings must be over the limit"),
}  # fmt: skip
_ALL = Text("这些条件同时成立", "all of these conditions hold at once")
_ANY = Text("这些条件至少一个成立", "at least one of these conditions holds")

_RULE = {
    **_CONDITION,
    "silent_for": Text("多久没有可信的数值", "no value to be believed for so long"),
    "all": _ALL,
    "any": _ANY,
    "clear_for": Text("恢复多久才算恢复", "how long it must be back"),
    "severity": Text(
        "级别：alarm 报警、warning 预警、fault 故障", "severity: alarm, warning or fault"
    ),
    "sound": Text(
        "声音：A1 火警类、A2 燃气、A3 一氧化碳、W 预警、F 故障",
        "sound: A1 fire, A2 gas, A3 carbon monoxide, W warning, F fault",
    ),
    "latch": Text("true：保持到有人复位", "true: stays until someone resets it"),
    "say": Text("发生了什么，一句话", "what is the matter, in one phrase"),
    "do": Text("该做什么，最多四步", "what to do, at most four steps"),
    "owner": Text("谁负责；不写就是设备的责任岗位", "who answers, if not the device's owner"),
    "basis": Text("依据：哪条标准，或谁何时决定", "the standard, or who decided, when"),
    "edition": Text("标准的版本", "edition of the standard"),
    "median": Text("3：取最近三个值的中间值，滤掉尖峰", "3: the middle of the last three values"),
    "magnitude": Text("true：不看正负号", "true: the value without its sign"),
    "off": Text("true：停用这条默认规则", "true: switches this default rule off"),
}  # fmt: skip

MEANINGS: Mapping[str, Mapping[str, Text]] = {
    "SiteFile": {
        "site": Text("这个机构", "the house"),
        "buses": Text("总线：每根 RS-485 线或网络地址一条", "one entry a wire or network address"),
        "buildings": Text("有几栋楼时，每栋一条", "the buildings, where there are several"),
        "devices": Text("设备：每台一条", "one entry a device"),
        "rules": Text("自己的规则，每条看一个监测点", "rules of your own, on one point each"),
        "panel": Text("灯、蜂鸣器、按钮的引脚（BCM 编号）", "pins of lamps, buzzer, button (BCM)"),
        "uplink": Text("把记录送到平台；不写就只在本地", "to the platform; without it, local only"),
        "store": Text("数据库", "the databases"),
        "silence": Text("按一次消音静多久", "how long the button silences"),
        "realarm_after": Text("确认后仍报警多久再响", "acknowledged, still active: sounds again"),
        "escalate_after": Text("多久没人确认就响得更急", "unacknowledged so long: harder sound"),
        "escalation": Text("还没人管时再叫谁、等多久", "who is called next, and after how long"),
        "post_check": Text("查岗", "post checks: is somebody at the duty desk?"),
        "reader": Text("值班台的 NFC 读卡器", "the NFC reader at the duty desk"),
        "tag_keys": Text("NTAG 424 DNA 标签的密钥文件", "key files of NTAG 424 DNA tags"),
        "patrol": Text("巡查：巡查点、路线、轮次", "patrol: checkpoints, routes, rounds"),
        "self_test": Text("每晚自检的时刻，如 03:30", "time of the nightly self-test: 03:30"),
        "gateway": Text("网关自身的监测：温度、电压、内存", "the gateway's own health"),
        "warning_cases": Text("预警也开处置单", "a warning opens a case as well"),
        "offline_after_misses": Text("连续几次不应答算离线", "missed replies until it is offline"),
    },
    "House": {
        "id": Text("机构代号：字母、数字、- 和 _", "the house's id: letters, digits, - and _"),
        "name": Text("机构名称", "the house's name"),
        "institution": Text(
            "机构类别：elder-care、child-welfare、relief、station、funeral；决定夜间多久巡一次",
            "its type: elder-care, child-welfare, relief, station, funeral; how often by night",
        ),
        "timezone": Text("时区，如 Asia/Shanghai", "time zone, such as Asia/Shanghai"),
        "limit": Text("对整个机构的要求", "what is asked of the whole house"),
        "words": Text("机构自己的代码，原样上送", "codes of your own, sent upstream as they are"),
    },
    "HouseLimits": {
        "detect_within": Text("从异常到报警最多多久", "longest time from change to alarm"),
    },
    "EscalationPart": {
        "safety_manager": Text("多久没人确认就叫消防安全管理人", "the safety manager is called"),
        "director": Text("多久没人确认就叫院长和平台", "director and platform are called"),
        "arrival": Text("确认后多久没人到场就提醒", "acknowledged, nobody on site: a reminder"),
        "warning": Text("预警、故障多久没人确认就叫值班长", "a warning or fault: the duty leader"),
        "hazard": Text("预警、故障多久没人确认就算隐患", "a warning or fault: it is a hazard"),
    },
    "PostCheckPart": {
        "per_night": Text("每晚自动查岗最多几次，0 到 3", "most checks in a night, 0 to 3"),
        "answer_within": Text("多久之内应答", "how long there is to answer"),
        "between": Text("在哪段时间查，如 22:00-06:00", "between which hours: 22:00-06:00"),
    },
    "TagKeysPart": {
        "meta_read_file": Text(
            "SDMMetaReadKey 的文件，32 位十六进制", "file of SDMMetaReadKey, 32 hex digits"
        ),
        "file_read_file": Text(
            "SDMFileReadKey 或其主密钥的文件", "file of SDMFileReadKey, or of its master key"
        ),
        "per_tag": Text("每个标签的密钥由主密钥派生", "each tag has a key derived from it"),
    },
    "ReaderPart": {
        "device": Text("串口路径，或 usb:VID:PID", "its serial port, or usb:VID:PID"),
        "id": Text("记录里的代号", "its id in the records"),
        "again": Text("这么快再刷算同一次", "the same card so soon again is one tap"),
    },
    "PatrolPart": {
        "items": Text("巡查项目：每套一个名字", "what is looked at: sets of items by name"),
        "checkpoints": Text("巡查点", "the checkpoints"),
        "routes": Text("路线", "the routes"),
        "rounds": Text("什么时候巡哪条路线", "which route is walked when"),
        "readers": Text("固定读卡器在哪里", "where the fixed readers hang"),
        "compensate_every": Text(
            "监测点停用时多久补巡一次", "how often a place is patrolled while its point is off"
        ),
    },
    "ItemPart": {
        "say": Text("问什么，一句话", "the question, in one phrase"),
        "type": Text(
            "ok_bad 正常/异常、number 数值、choice 选择、photo 拍照",
            "ok_bad, number, choice or photo",
        ),
        "unit": Text("数值的单位", "unit of the number"),
        "range": Text("正常范围，如 0.1..0.8；之外算异常", "what is normal: 0.1..0.8; else bad"),
        "choices": Text("可选的答案", "the answers to choose from"),
        "point": Text("与哪个监测点核对：设备.监测点", "what it is compared with: device.point"),
        "tolerance": Text("与监测点允许差百分之几", "how far it may differ from the point, in %"),
        "drawn": Text("true：只在抽查到时问", "true: asked only by the random challenge"),
    },
    "ChoicePart": {
        "say": Text("答案", "the answer"),
        "bad": Text("true：算异常", "true: it is a bad one"),
    },
    "CheckpointPart": {
        "name": Text("巡查点名称", "its name"),
        "place": Text("在哪里", "where it is"),
        "items": Text("用哪套巡查项目；不写就是标准七项", "its items; else the standard seven"),
        "near": Text("旁边的监测点：贴卡算到场", "points beside it: a tap is an arrival"),
        "tags": Text("贴在这里的标签", "the tags that hang there"),
    },
    "TagPart": {
        "uid": Text("标签的 UID", "the tag's UID"),
        "kind": Text("ntag21x、ntag424 或 qr", "ntag21x, ntag424 or qr"),
        "token": Text("链接令牌的 SHA-256", "SHA-256 of the token in its link"),
        "key_ref": Text("用哪把主密钥", "which master key it belongs to"),
    },
    "LegPart": {
        "leg_min": Text("从上一点走来至少多久", "the walk from the stop before takes at least"),
        "leg_max": Text("从上一点走来最多多久", "and at most"),
        "dwell": Text("在这里至少停多久", "how long one stays, at least"),
    },
    "RoutePart": {
        "name": Text("路线名称", "its name"),
        "order": Text(
            "any 任意、strict 按顺序、start_end 首末固定",
            "any, strict (as listed) or start_end (first and last fixed)",
        ),
        "stops": Text("经过哪些巡查点", "the checkpoints on it"),
        "legs": Text("个别站点不同的时间", "times of single stops that differ"),
        "leg_min": Text(
            "两点之间至少走多久（不写为 15 秒）",
            "the least time between two stops, 15 s unless given",
        ),
        "leg_max": Text("两点之间最多走多久", "the most time between two stops"),
        "dwell": Text("每点至少停多久", "how long one stays at each, at least"),
    },
    "RoundPart": {
        "route": Text("巡哪条路线", "the route that is walked"),
        "preset": Text(
            "daily 每日一次、night 夜间多次（按机构类别，养老机构每两小时）",
            "daily: once by day; night: as the institution's type asks (elder care: every 2 h)",
        ),
        "every": Text("多久一次", "how often"),
        "between": Text("在哪段时间，可跨零点", "between which hours; may span midnight"),
        "at": Text("在哪些时刻", "at which times of day"),
        "before": Text("可提前多久", "how long before that time it may begin"),
        "after": Text("可推后多久", "how long after it it may end"),
        "grace": Text("超时后宽限多久才算漏巡", "overdue so long, it is missed"),
        "days": Text("星期几；不写就是每天", "on which days; else every day"),
        "owner": Text("谁来巡（人员代号）；不写就是谁先开始", "who walks it: a staff code"),
        "draws": Text("每轮随机抽查几点，0 到 5", "random challenges a round, 0 to 5"),
        "basis": Text("依据", "the standard, or who decided, when"),
    },
    "PatrolReaderPart": {
        "place": Text("在哪里", "where it hangs"),
        "near": Text("旁边的监测点：刷卡算到场", "points beside it: a card is an arrival"),
        "checkpoint": Text("在哪个巡查点", "the checkpoint it hangs at"),
    },
    "PeopleFile": {
        "people": Text("人员：代号和各人的内容", "the people, each under a staff code"),
    },
    "PersonPart": {
        "name": Text("姓名（不出本机构）", "the name, which never leaves the house"),
        "role": Text(
            "角色：duty 值班员、leader 值班长、manager 消防安全管理人、technician 运维",
            "role: duty, leader, manager (fire safety) or technician",
        ),
        "until": Text("有效到哪天", "the last good day"),
        "pin": Text(
            "PIN 的 argon2id，用 care-gateway people pin 生成",
            "argon2id of the PIN, made by care-gateway people pin",
        ),
        "pin_until": Text("PIN 有效到哪天", "the PIN's last good day"),
        "cards": Text("工卡", "the cards"),
    },
    "CardPart": {
        "uid": Text("卡号", "the card's UID"),
        "until": Text("有效到哪天", "the last good day"),
        "label": Text("卡上的标记", "what is written on it"),
    },
    "GatewayPart": {
        "owner": Text("网关由谁负责", "who answers for the gateway"),
        "rules": Text("改默认规则，如 gateway_hot", "changes to its default rules"),
    },
    "StorePart": {
        "directory": Text("数据库放在哪个目录", "folder of the databases"),
        "commit_every": Text("测量值多久写盘一次", "how often readings are committed"),
    },
    "BusPart": {
        "serial": Text(
            "串口，如 /dev/serial/by-path/… 或 usb:1a86:7523",
            "serial port: /dev/serial/by-path/... or usb:1a86:7523",
        ),
        "baud": Text("波特率，如 9600", "baud rate, such as 9600"),
        "parity": Text("校验：none 无、even 偶、odd 奇", "parity: none, even or odd"),
        "stop_bits": Text("停止位：1 或 2", "stop bits: 1 or 2"),
        "tcp": Text("网络地址，如 192.168.1.20:502", "network address: 192.168.1.20:502"),
        "timeout": Text("等应答最多多久", "longest wait for a reply"),
        "gap": Text("应答之后停多久再问", "pause between a reply and the next request"),
        "late_max": Text("超时之后应答最晚多久还会来", "how late a reply may still come"),
        "open_delay": Text("打开串口后停多久再问", "pause after opening the port"),
        "rs485": Text("用 RTS 切换收发方向", "RTS switches between sending and receiving"),
    },
    "DirectionPart": {
        "rts_on_send": Text("发送时 RTS 为高", "RTS is high while sending"),
        "delay_before": Text("切到发送后停多久", "pause after switching to sending"),
        "delay_after": Text("发完后停多久才切回", "pause before switching back"),
    },
    "BuildingPart": {
        "name": Text("楼名，写在每个位置前面", "its name, put before each place in it"),
        "class": Text("建筑类别，决定消火栓压力的限值", "its class: limits of hydrants"),
    },
    "DevicePart": {
        "profile": Text("设备档案的名字，即型号", "its profile: what model it is"),
        "bus": Text("接在哪条总线上", "the bus it is on"),
        "unit": Text("设备上设定的站号，1 到 247", "the unit id set on the device, 1 to 247"),
        "place": Text("装在哪里，如 1F 厨房", "where it hangs, such as 1F kitchen"),
        "owner": Text("责任岗位，如 电工班", "the post that answers for it"),
        "channel": Text("第几个通道（探头），从 0 数", "which channel of it, counted from 0"),
        "name": Text("设备的俗名", "what people call it"),
        "building": Text("在哪栋楼（buildings 里的名字）", "the building it is in"),
        "height": Text("最不利点比仪表高多少，如 18 m", "worst point above the gauge: 18 m"),
        "rated_current": Text("回路的额定电流，如 32 A", "rated current of the circuit: 32 A"),
        "calibration_due": Text("下次检定的日期", "the day its calibration is due"),
        "sensor_life_until": Text("传感器寿命到哪天", "the last day of its sensor's life"),
        "bump_test_due": Text("下次通气试验的日期", "the day its test with gas is due"),
        "rules": Text("改默认规则，或加规则", "changes to default rules, or more rules"),
        "points": Text("改它的监测点", "changes to its points"),
    },
    "OwnPoint": {
        "period": _PERIOD, "deadband": _DEADBAND, "label": _LABEL, "kind": _KIND, "valid": _VALID,
        "span": _SPAN,
    },
    "PanelPart": {
        "red": Text("红灯：报警", "red lamp: alarm"),
        "amber": Text("橙灯：预警", "amber lamp: warning"),
        "yellow": Text("黄灯：故障", "yellow lamp: fault"),
        "green": Text("绿灯：一切正常", "green lamp: all is well"),
        "buzzer": Text("蜂鸣器", "buzzer"),
        "silence": Text("消音按钮", "silence button"),
        "relay": Text("故障继电器：正常时吸合", "fault relay: energised while all is well"),
        "relay_mode": Text(
            "steady：一直吸合；pulse：1 Hz 脉冲，程序卡住也会释放（要配脉冲保持电路）",
            "steady: held; pulse: 1 Hz, for a circuit that lets go when the pulses stop",
        ),
        "white": Text("白灯：查岗、巡查超时；没有就用绿灯", "white: post check, round; else green"),
        "quiet_hours": Text(
            "夜间：预警和故障只亮灯不响，报警照响；不要就写 off",
            "night: warnings and faults by lamp only, alarms sound as ever; or off",
        ),
        "patterns": Text(
            "自己的声音节奏：响、停、响、停……毫秒",
            "rhythms of your own: on, off, on, off ... in ms",
        ),
        "active_high": Text("false：低电平点亮（低有效的继电器板）", "false: low switches on"),
    },
    "UplinkPart": {
        "gateway": Text("网关代号，等于证书里的名字", "this gateway's id, as in its certificate"),
        "brokers": Text(
            "消息服务器，按顺序试，如 [mqtts://主机:8883]",
            "brokers, tried in this order: [mqtts://host:8883]",
        ),
        "delivery": Text(
            "ack：平台确认才算送到；broker：消息服务器收到就算",
            "ack: the platform confirms; broker: only the broker does",
        ),
        "reconnect": Text(
            "fleet：断线后错开重连；local：立即重连",
            "fleet: wait at random before connecting again; local: at once",
        ),
        "username": Text("登录名", "user name at the broker"),
        "password_file": Text("存放口令的文件", "file that holds the password"),
        "tls": Text("证书文件", "certificate files"),
        "keepalive": Text("多久没有数据就互相问一声", "sign of life when there is nothing to send"),
        "probe": Text("平台不应答时多久问一次", "how often an absent platform is asked for"),
        "audiences": Text("请平台转给谁", "who the platform is asked to pass it on to"),
        "receipt_within": Text(
            "报警多久没人签收就在本地提醒，0 不等",
            "an alarm without a receipt for so long is a fault here; 0 = never",
        ),
        "receipt_level": Text(
            "怎样算签收：stored 入库、sent 已转发、seen 已看到",
            "what counts: stored, sent (passed on) or seen",
        ),
    },
    "AudiencesPart": {
        "alarm": Text(
            "报警给谁：institution 机构、bureau 民政、fire_brigade 消防",
            "of an alarm: institution, bureau, fire_brigade",
        ),
        "warning": Text("预警给谁", "of a warning"),
        "fault": Text("故障给谁", "of a fault"),
    },
    "TlsPart": {
        "ca": Text("签发服务器证书的根证书", "certificate of the authority that signed the broker"),
        "cert": Text("本网关的证书", "this gateway's certificate"),
        "key": Text("本网关的私钥", "this gateway's private key"),
    },
    "RulePart": _RULE,
    "MemberPart": {
        **_CONDITION,
        "rule": Text("另一条规则的条件：设备.监测点/规则，或站点规则的名字",
                     "the condition of another rule: device.point/rule, or one of the site's"),
        "all": _ALL,
        "any": _ANY,
    },
    "KindRulePart": {
        **_RULE,
        "needs": _DIRECTION,
        "percent": Text("限值是 of 的百分之几", "the limit, in percent of `of`"),
        "of": Text("额定电流或量程上限", "the rated current, or the top of the span"),
        "where_possible": Text("true：用不上的地方不算错", "true: no mistake where it cannot be"),
    },
    "KindPart": {
        "unit": Text("这一类的单位", "the unit of this kind"),
        "deadband": _DEADBAND,
        "at_worst_point": Text("限值是最不利点的", "its limits are those of the worst point"),
        "by_class": Text("建筑类别不同时用哪一类", "the kind instead of it in a class of building"),
        "rules": Text("这一类监测点的默认规则", "the default rules of points of this kind"),
    },
    "InstitutionPart": {
        "name": Text("这类机构叫什么", "what such institutions are called"),
        "duties": Text("要做的事，每件一条", "what they have to do, one entry each"),
    },
    "DutyPart": {
        "say": Text("要做什么，一句话", "what is to be done, in one phrase"),
        "every": Text("多久一次", "how often"),
        "must": Text("true：依据要求必须做", "true: its basis demands it"),
        "basis": Text("依据：哪条规定", "the rule that says so"),
        "edition": Text("依据的版本", "edition of that rule"),
        "unverified": Text("哪些没有核实", "what of it was not verified"),
    },
    "GatePart": {
        "point": Text("由哪个监测点判定", "the point that tells"),
        "qualities": Text("它的每个值代表什么质量", "what quality each of its values means"),
        "bits": Text("状态字的哪一位置位代表什么质量", "the quality that each set bit means"),
        "otherwise": Text("没列出的值代表什么质量", "the quality for a value that is not listed"),
    },
    "PointPart": {
        "table": Text("寄存器表：coil、discrete、holding、input", "which table it is read from"),
        "at": Text("线上地址，从 0 数", "address on the wire, counted from 0"),
        "type": Text("数据类型", "how its words are a number"),
        "order": Text("多字数值的字序", "order of the words of a longer value"),
        "scale": Text("乘以", "value = raw * scale + offset"),
        "offset": Text("再加上", "value = raw * scale + offset"),
        "bit": Text("寄存器里的第几位，从 0 数", "which bit of the register, counted from 0"),
        "bits": Text("寄存器的哪几位合成一个数，从 0 数", "which bits of it are the number"),
        "length": Text("文字占几个寄存器", "registers of a text"),
        "decimals_at": Text("小数位数在哪个寄存器", "register with the number of decimals"),
        "unit_at": Text("单位代码在哪个寄存器", "register with the unit's code"),
        "units": Text("每个单位代码的含义", "what each unit code means"),
        "unit": Text("单位，没有就写空引号", 'its unit, "" for none'),
        "kind": _KIND,
        "label": _LABEL,
        "valid": _VALID,
        "span": _SPAN,
        "identity": Text("认得出这种设备的值，启动时和每天核对",
                         "the values by which such a device is known, looked at daily"),
        "sentinels": Text("表示“无效”的原始值", "raw values that mean there is no value"),
        "gate": Text("由另一个监测点决定可不可信", "another point that says if it can be believed"),
        "codes": Text("每个代码的含义", "what each code means"),
        "period": _PERIOD,
        "deadband": _DEADBAND,
        "heartbeat": Text("不变时多久存一次", "how often it is stored while it does not change"),
        "max_age": Text("多久没有新值就算过期", "older than this it is no longer believed"),
        "stuck_after": Text("多久不变就可疑", "unchanged so long, it is suspect"),
        "response": Text("传感器自身的响应时间", "the sensor's own delay, from its data sheet"),
        "counter": Text("true：累计值，只增不减", "true: it only counts up"),
        "off": Text("true：不要基础档案里的这个点", "true: without this point of the base profile"),
        "scale_unverified": Text("true：比例没有在真机上核对过", "true: no device confirmed it"),
        "confidence": Text("可信程度：A 最高", "how sure we are: A is best"),
        "source": Text("出处", "where this was found"),
        "note": Text("备注", "a remark"),
    },
    "SerialAdvice": {
        "baud": Text("出厂波特率", "baud rate from the factory"),
        "parity": Text("出厂校验", "parity from the factory"),
        "stop_bits": Text("出厂停止位", "stop bits from the factory"),
    },
    "ProfilePart": {
        "profile": Text("档案名，与文件名一致", "its name, the same as the file's"),
        "extends": Text("以哪个档案为基础", "the profile it is based on"),
        "maker": Text("厂家", "maker"),
        "model": Text("型号", "model"),
        "confidence": Text("可信程度：A 最高", "how sure we are: A is best"),
        "unverified": Text("哪些没有核对过，check 会提醒", "what is unverified; `check` says so"),
        "source": Text("寄存器表的出处", "where the registers were found"),
        "notes": Text("备注", "remarks"),
        "serial": Text("出厂的串口参数", "line settings from the factory"),
        "max_registers": Text("一次最多读几个寄存器", "most registers in one request"),
        "channels": Text("一个站号有几个通道", "channels behind one unit, each a device"),
        "probe": Text("扫描时读哪些点、读到什么就认得出它",
                      "the points by which a scan knows it, and what they must show"),
        "barriers": Text("不能跨过这些地址连读", "addresses no request may read across"),
        "all": Text("每个监测点共有的设置", "what all its points share"),
        "points": Text("监测点", "its points"),
    },
}  # fmt: skip

# What people write, and the key or word that is meant; used where that one is allowed.
MEANT: Mapping[str, tuple[str, ...]] = {
    "slave": ("unit",), "slave_id": ("unit",), "unit_id": ("unit",), "address": ("unit", "at"),
    "addr": ("unit", "at"), "id": ("unit",), "站号": ("unit",), "地址": ("unit", "tcp"),
    "register": ("at",), "port": ("serial", "tcp"), "device": ("serial",), "串口": ("serial",),
    "host": ("tcp",), "ip": ("tcp",), "baudrate": ("baud",), "波特率": ("baud",),
    "校验": ("parity",), "stopbits": ("stop_bits",), "location": ("place",), "位置": ("place",),
    "responsible": ("owner",), "责任人": ("owner",), "负责人": ("owner",), "model": ("profile",),
    "type": ("profile",), "url": ("brokers",), "server": ("brokers",), "host_name": ("brokers",),
    "client_id": ("gateway",), "user": ("username",), "password": ("password_file",),
    "max": ("above",), "high": ("above",), "min": ("below",), "low": ("below",),
    "limit": ("above",), "threshold": ("above",), "delay": ("for",), "hysteresis": ("clears",),
    "level": ("severity",), "message": ("say",), "text": ("say",), "action": ("do",),
    "base": ("extends",), "inherits": ("extends",), "template": ("extends",),
    "interval": ("period",), "tz": ("timezone",), "disabled": ("off",),
    "n": ("none",), "无": ("none",), "no": ("none",), "e": ("even",), "偶": ("even",),
    "o": ("odd",), "奇": ("odd",), "报警": ("alarm",), "预警": ("warning",), "故障": ("fault",),
    "critical": ("alarm",), "error": ("fault",), "warn": ("warning",),
}  # fmt: skip

# Where no one is named.
NOBODY = ("待定", "无", "暂无", "未知", "tbd", "n/a", "na", "none", "?", "？", "-", "/", "x", "xx")
