"""The words of the duty page; field/patrol-and-alarms 9 says which."""

from gateway.domain.text import Text

STATES = {  # of the house
    "alarm": Text("报警", "Alarm"),
    "warning": Text("预警", "Warning"),
    "fault": Text("故障", "Fault"),
    "normal": Text("正常", "Normal"),
    "unknown": Text("未知", "Unknown"),
}
LIVES = {  # of one alarm
    "UA": Text("未确认", "not acknowledged"),
    "AA": Text("已确认", "acknowledged"),
    "RU": Text("已恢复，未确认", "returned, not acknowledged"),
    "LU": Text("已恢复，待确认复位", "returned, to acknowledge and reset"),
    "LA": Text("已确认，待复位", "acknowledged, to reset"),
}
MODES = {"drill": Text("演练", "Drill"), "test": Text("测试", "Test")}
INHIBITS = {
    "SH": Text("屏蔽", "shelved"),
    "SU": Text("抑制", "suppressed"),
    "OS": Text("停用", "out of service"),
}
LAMPS = {
    "red": Text("报警", "Alarm"),
    "amber": Text("预警", "Warning"),
    "yellow": Text("故障", "Fault"),
    "green": Text("正常", "Normal"),
    "white": Text("查岗", "Post check"),
    "buzzer": Text("蜂鸣", "Buzzer"),
}
LIT = {"on": Text("亮", "on"), "off": Text("灭", "off"), "blink": Text("闪", "blinks")}
SOUNDING = {True: Text("响", "sounds"), False: Text("静", "quiet")}
UNITS = (Text("秒", "s"), Text("分", "min"), Text("小时", "h"), Text("天", "d"))
NAMES = {Text("中文", "中文"): "zh", Text("English", "English"): "en"}

WORDS = {
    "desk": Text("值班台", "Duty desk"),
    "shelved": Text("屏蔽", "Shelved"),
    "out_of_service": Text("停用 {}", "Out of service {}"),
    "drill": Text("演练", "Drill"),
    "drill_on": Text("演练进行中：{}，指挥 {}", "A drill is on: {}, led by {}"),
    "tests_on": Text("{} 个监测点在测试", "{} points are being tested"),
    "post_check": Text(
        "查岗：请按面板的消音键应答", "Post check: press the panel's silence button"
    ),
    "left": Text("还剩", "left"),
    "first_out": Text("首发", "first-out"),
    "on_site": Text("已到场", "on site"),
    "chattering": Text("抖动 {} 次", "chattering, {} times"),
    "limit": Text("限值", "limit"),
    "since": Text("已持续", "for"),
    "from": Text("起于", "since"),
    "value_age": Text("数值", "value"),
    "ago": Text("前", "ago"),
    "stale": Text("陈旧", "Stale"),
    "silenced": Text("已消音", "silenced"),
    "owner": Text("责任人", "Owner"),
    "do": Text("怎么办", "What to do"),
    "others": Text("其他", "Also"),
    "more": Text("还有 {} 项未显示", "{} more are not shown"),
    "all_well": Text("没有报警、预警、故障", "No alarm, no warning, no fault"),
    "unread": Text(
        "尚未读到任何设备，不能说是正常", "No device has been read yet: this is not normal"
    ),
    "points": Text("监测点", "Points"),
    "points_good": Text("{} / {} 有效", "{} of {} valid"),
    "patrol": Text("今日巡查", "Patrol today"),
    "patrol_done": Text("{} / {} 轮", "{} of {} rounds"),
    "patrol_next": Text("下一轮 {}", "next {}"),
    "patrol_overdue": Text("超时 {}", "Overdue {}"),
    "patrol_missed": Text("漏巡 {}", "Missed {}"),
    "cases": Text("未结处置单", "Open cases"),
    "not_set_up": Text("未设置", "Not set up"),
    "lamps": Text("面板", "Panel"),
    "shown_age": Text("所示内容", "Shown as of"),
    "untrusted_clock": Text("时间不可信", "time not trusted"),
    "delivered": Text("已上传", "Delivered"),
    "queued": Text("待上传 {}", "Queued {}"),
    "buffered": Text("断网缓存 {}", "Offline buffer {}"),
    "no_uplink": Text("未设置上传", "No uplink set up"),
    "connection_lost": Text("连接中断", "Connection lost"),
    "lost_what": Text(
        "本页与网关的连接已断开，下面的内容已陈旧。请看面板的灯，听蜂鸣器。",
        "This page no longer hears the gateway; what it shows is stale. "
        "Look at the panel's lamps and listen for the buzzer.",
    ),
    "starting": Text("正在连接网关", "Asking the gateway"),
    "no_daemon": Text("网关未运行", "The gateway is not running"),
    "no_answer": Text("网关没有应答", "The gateway does not answer"),
    "last_known": Text("以下是最后收到的内容，已陈旧", "Below is what was last known; it is stale"),
    "not_a_panel": Text("本设备不替代火灾报警控制器", "Not a fire alarm control panel"),
    "not_found": Text("没有这个页面", "There is no such page"),
    "to_desk": Text("回到值班台", "Back to the duty desk"),
}
LOST_STEPS = (
    Text("看面板的灯，听蜂鸣器", "Look at the panel's lamps, listen for the buzzer"),
    Text("恢复之前增加人工巡查", "Walk the rounds more often until it is back"),
    Text("检查网关电源，通知运维", "Check the gateway's power, call the technician"),
    Text(
        "运维: systemctl status care-gateway",
        "Technician: systemctl status care-gateway",
    ),
)
