"""The words of the institution's sheet, and how it says moments, durations and people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from gateway.core.patrol_views import REASONS
from gateway.core.sheet_times import local
from gateway.domain.cases import ACTIONS, CAUSES, VERDICTS
from gateway.domain.rounds import FLAGS, STATES
from gateway.domain.sheet import Span, Sure, When
from gateway.domain.text import Lang, Text

TITLES = {
    Span.DAY: Text("消防安全日报表", "Fire-safety sheet of the day"),
    Span.MONTH: Text("消防安全月报表", "Fire-safety sheet of the month"),
}
WORDS = {
    "made": Text("制表", "Made"),
    "period": Text("期间", "Period"),
    "house": Text("机构", "Institution"),
    "not_over": Text("期间未结束：以下到制表时为止", "The period is not over: as far as it went"),
    "no_site": Text(
        "站点文件读不了：只有记录里的内容，没有监测范围和到期日",
        "The site file cannot be read: only what the records say; not what is watched or due",
    ),
    "cut": Text(
        "{} 之前的记录已清理：本表不完整",
        "Records of before {} were cleared away: this sheet is not whole",
    ),
    "begins": Text("记录从 {} 开始", "The records begin at {}"),
    "no_record": Text("这段时间没有任何记录。", "There is no record of this time."),
    "quiet": Text(
        "全程在监测，没有报警、预警、故障，没有漏巡。",
        "Watched all the time: no alarm, warning or fault, and no round missed.",
    ),
    "left_out": Text("另有 {} 行未列出（{}）", "{} more rows are not shown ({})"),
    "names": Text("含姓名：不出本机构", "It has names of people: it stays in the house"),
    "codes": Text("人员以工号表示", "People are given by their staff codes"),
    "overview": Text("概况", "Overview"),
    "whole_house": Text("全院", "The whole house"),
    "alarms": Text("报警与预警", "Alarms and warnings"),
    "open_cases": Text("未销号的处置单", "Cases that are not closed"),
    "faults": Text("故障", "Faults"),
    "findings": Text("隐患", "Hazards"),
    "aside": Text("屏蔽与停用", "Shelved and out of service"),
    "dues": Text("检定与到期", "Calibration and what is due"),
    "blind": Text("没有监测到的时间", "What was not seen, and how long"),
    "duties": Text("按机构类别要做的", "What its type of institution asks"),
    "done": Text("本期", "In the period"),
    "basis": Text("依据", "On what grounds"),
    "rounds": Text("巡查", "Patrol rounds"),
    "post_checks": Text("查岗", "Post checks"),
    "drills": Text("演练", "Drills"),
    "noisy": Text("报得最多的监测点", "Noisiest points"),
    "off": Text("网关停机", "The gateway was off"),
    "records": Text("记录与上传", "Records and delivery"),
    "not_watched": Text("本机构没有监测", "This house does not monitor"),
    "sign": Text(
        "值班长：____________　消防安全管理人：____________　日期：__________",
        "Duty leader: ____________   Fire-safety manager: ____________   Date: __________",
    ),
    "foot": Text("本设备不替代火灾报警控制器", "Not a fire alarm control panel"),
    "marks": Text(
        "≈ 时间为估计；≥ 当时时钟不可信，不早于；∗ 期间之前发生",
        "≈ time estimated; ≥ the clock was not sure, not before; ∗ from before the period",
    ),
    "time": Text("时间", "Time"),
    "severity": Text("级别", "Severity"),
    "what": Text("内容", "What"),
    "place": Text("位置", "Place"),
    "value": Text("数值（限值）", "Value (limit)"),
    "ack": Text("确认", "Acknowledged"),
    "arrive": Text("到场", "On site"),
    "clear": Text("恢复", "Normal again"),
    "close": Text("销号", "Closed out"),
    "verdict": Text("结论与处理", "Verdict and action"),
    "id": Text("编号", "Number"),
    "count": Text("次数", "Times"),
    "lasted": Text("累计", "In all"),
    "last": Text("最近", "Last"),
    "state": Text("状态", "State"),
    "age": Text("已开", "Open for"),
    "value_found": Text("数值", "Value"),
    "text": Text("说明", "In words"),
    "by": Text("人员", "By"),
    "due": Text("期限", "Due"),
    "subject": Text("对象", "What it is"),
    "since": Text("从", "From"),
    "until": Text("到", "Until"),
    "why": Text("原因", "Why"),
    "order": Text("工单", "Work order"),
    "device": Text("设备", "Device"),
    "left": Text("剩余", "Left"),
    "window": Text("时段", "Window"),
    "round": Text("轮次", "Round"),
    "stops": Text("到点", "Stops"),
    "found": Text("发现", "Found"),
    "remarks": Text("备注", "Remarks"),
    "signed": Text("复核", "Signed"),
    "scenario": Text("科目", "Scenario"),
    "heads": Text("清点", "Heads"),
    "activations": Text("报警次数", "Activations"),
    "point": Text("监测点", "Point"),
}
NONE = {  # what to say of a table without rows: that it was looked at
    "alarms": Text("没有报警，没有预警。", "No alarm and no warning."),
    "open_cases": Text("没有未销号的处置单。", "No case is open."),
    "faults": Text("没有故障。", "No fault."),
    "findings": Text("没有登记隐患。", "No hazard was entered."),
    "aside": Text("没有屏蔽或停用。", "Nothing was shelved or out of service."),
    "dues": Text("60 天内没有到期。", "Nothing is due within 60 days."),
    "blind": Text(
        "没有设备失联（网关停机另列）。", "No device was lost from sight (stops are apart)."
    ),
    "duties": Text("这类机构没有列出要求。", "Nothing is listed for this type of institution."),
    "rounds": Text("没有应巡的轮次。", "No round was to be walked."),
    "post_checks": Text("没有查岗。", "No post check was asked."),
    "drills": Text("没有演练。", "No drill."),
    "noisy": Text("没有反复报警的监测点。", "No point alarmed more than once."),
    "off": Text("没有发现网关停机。", "No stop of the gateway was found."),
}
DUES = {
    "calibration_due": Text("检定", "Calibration"),
    "sensor_life_until": Text("传感器寿命", "End of the sensor's life"),
    "bump_test_due": Text("通气试验", "Test with gas"),
}
CHECKS = {
    "asked": Text("等待应答", "Waiting"),
    "answered": Text("已应答", "Answered"),
    "no_answer": Text("无人应答", "No answer"),
    "expired": Text("到得太晚，未查", "Came too late to be asked"),
    "refused": Text("同时太多，未查", "Too many at once, not asked"),
}
SOURCES = {"platform": Text("平台", "Platform"), "local": Text("网关", "Gateway")}
TESTS = {"passed": Text("通过", "Passed"), "failed": Text("未通过", "Failed")}
ALLOWED = {  # what the figures of a round have to allow for
    "gateway_down": Text("时段内网关停过机", "The gateway was off in its window"),
    "clock_unsure": Text("时段内时钟不可信", "The clock was not sure in its window"),
    "compensating": Text("代替停用的监测点", "It stands in for a point out of service"),
}
GAPS = {
    "thinned": Text("抽稀", "thinned"),
    "dropped": Text("丢弃", "dropped"),
}
ROLES = {
    "duty_leader": Text("已呼叫值班长", "Duty leader called"),
    "safety_manager": Text("已呼叫安全管理人", "Safety manager called"),
    "director": Text("已呼叫院长和平台", "Director and platform called"),
}
VERDICT_WORDS = {verdict.value: words for verdict, words in VERDICTS.items()}
TOLD = {  # how far an alarm got with an audience
    "stored": Text("平台已收", "stored"),
    "sent": Text("已送达", "sent"),
    "seen": Text("已查看", "seen"),
    "silent": Text("没有按时回执", "no receipt in time"),
    "": Text("还没有回执", "no receipt yet"),
}
AUDIENCES = {
    "inst": Text("机构", "institution"),
    "civil": Text("民政部门", "bureau"),
    "fire": Text("消防部门", "fire brigade"),
}
SAID = {  # of one thing, within a cell
    "no_verdict": Text("未填结论", "No verdict"),
    "unacked": Text("未确认", "Not acknowledged"),
    "acked": Text("已确认", "Acknowledged"),
    "open": Text("仍在报警", "Still open"),
    "over": Text("已恢复", "Over"),
    "handled": Text("已填结论，待销号", "Handled, to be closed out"),
    "unhandled": Text("未处理", "Not handled"),
    "closed": Text("{} 已销号", "Closed out {}"),
    "first_out": Text("首发", "First-out"),
    "missed": Text("漏报补录", "Entered by people"),
    "times": Text("抖动 ×{}", "×{}"),
    "tap": Text("贴卡{}级", "tap, proof {}"),
    "told": Text("口述", "as told"),
    "shelved": Text("屏蔽", "Shelved"),
    "out": Text("停用(检修)", "Out of service"),
    "still": Text("至今", "Still"),
    "before": Text("期间之前", "Before the period"),
    "overdue": Text("过期 {} 天", "{} days overdue"),
    "days": Text("{} 天", "{} days"),
    "all_ok": Text("未见异常", "All in order"),
    "no_visit": Text("无人到点", "Nobody came"),
    "missing": Text("漏点：{}", "Not visited: {}"),
    "challenge": Text("抽查 {}/{}", "Spot checks {}/{}"),
    "explained": Text("说明：{}", "Explained: {}"),
    "unsigned": Text("未复核", "Not signed"),
    "late": Text("迟答", "Late"),
    "stopped": Text("正常停止", "Told to stop"),
    "cut_off": Text("没有正常停止（断电、死机或重启）", "Without notice (power, crash or reset)"),
    "of_days": Text("{} / {} 天", "{} of {} days"),
    "of_rounds": Text("{} / {} 轮", "{} of {} rounds"),
    "last_time": Text("最近一次 {}", "last time {}"),
    "no_drill": Text("记录里没有", "none in the records"),
    "not_counted": Text("本网关不统计", "not counted by this gateway"),
    "unverified": Text("未核实：{}", "unverified: {}"),
    "unknown": Text("时间不明", "Time unknown"),
    "unnamed": Text("（见记录）", "(see the records)"),
}
_UNITS = (
    (1, 1, Text("秒", "s")),  # nothing at all
    (1_000, 1, Text("毫秒", "ms")),
    (120_000, 1_000, Text("秒", "s")),
    (7_200_000, 60_000, Text("分", "min")),
    (172_800_000, 3_600_000, Text("小时", "h")),
)
_BEFORE = {Sure.YES: "", Sure.ABOUT: "≈", Sure.NOT_BEFORE: "≥"}


@dataclass(frozen=True, slots=True)
class Voice:
    """How this sheet speaks. `names`: staff code -> name, where the sheet stays in the house."""

    lang: Lang
    zone: tzinfo
    names: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, words: Text) -> str:
        return words.in_(self.lang)

    def word(self, words: Mapping[str, Text], key: str) -> str:
        """The word for a key; the key itself where there is none."""
        found = words.get(key)
        return key if found is None else found.in_(self.lang)

    def who(self, code: str) -> str:
        name = self.names.get(code, "")
        return f"{code} {name}".strip() if code != "panel" else self(Text("面板", "panel"))

    def clock(self, when: When | None, form: str = "%m-%d %H:%M:%S") -> str:
        """The moment in the house's time, with a mark where it is not sure."""
        if when is None or when.utc_ms is None:
            return self(SAID["unknown"])
        return _BEFORE[when.sure] + f"{local(when.utc_ms, self.zone):{form}}"

    def lasted(self, ms: int | None) -> str:
        """A duration: 45 秒, 12 分, 3.5 小时, 4.0 天; nothing where there is none."""
        if ms is None:
            return ""
        for below, per, unit in _UNITS:
            if ms < below:
                digits = 1 if per == 3_600_000 else 0
                return f"{ms / per:.{digits}f} {unit.in_(self.lang)}"
        return f"{ms / 86_400_000:.1f} {self(Text('天', 'd'))}"

    def actions(self, codes: tuple[str, ...]) -> str:
        return self(Text("、", ", ")).join(self.word(ACTIONS, code) for code in codes)

    def cause(self, code: str) -> str:
        return self.word(CAUSES, code)

    def round_state(self, state: str) -> str:
        return self.word({each.value: words for each, words in STATES.items()}, state)

    def flags(self, marks: Mapping[str, int]) -> str:
        words = {flag.value: text for flag, text in FLAGS.items()}
        return " · ".join(f"{self.word(words, flag)} {count}" for flag, count in marks.items())

    def reason(self, code: str) -> str:
        return self.word(REASONS, code)
