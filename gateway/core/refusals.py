"""Why a person's wish about an alarm is refused: what is wrong, and what to do instead."""

from gateway.domain.text import Text

REFUSALS: dict[str, Text] = {
    "unknown_alarm": Text(
        "没有这条报警或规则：用 status 查看编号", "no such alarm or rule: see its id with status"
    ),
    "nothing_to_do": Text(
        "没有适用的报警：用 status 查看状态", "no alarm that this applies to: see status"
    ),
    "needs_person": Text(
        "要由具名人员操作：给出人员代号", "only a named person may do this: give a staff code"
    ),
    "not_normal_yet": Text(
        "数值尚未恢复正常：先排除原因，恢复后再复位",
        "the value is not normal yet: remove the cause, then reset",
    ),
    "value_unknown": Text(
        "当前数值不可信，不能复位：先恢复通信或传感器",
        "the value is not known to be normal: first let the point be read again",
    ),
    "not_acknowledged": Text(
        "还没有确认：先确认，再复位", "not acknowledged: acknowledge, then reset"
    ),
    "needs_verdict": Text(
        "还没有现场结论：到场核实并填写结论后再复位",
        "no verdict from on site yet: look, enter the verdict, then reset",
    ),
    "not_for_alarms": Text(
        "报警级不能屏蔽：排除原因，或凭工单停用该测点",
        "an alarm is never shelved: remove the cause, or take its point out of service by order",
    ),
    "too_long": Text(
        "屏蔽最长 8 小时：给出更短的时间", "shelving lasts 8 h at most: give a shorter time"
    ),
    "needs_reason": Text("要写明原因", "a reason must be given"),
    "needs_order": Text("要写明工单号", "the number of the work order must be given"),
    "is_shelved": Text(
        "已经屏蔽：要改时间，先解除", "shelved already: to change it, unshelve it first"
    ),
    "not_shelved": Text("这条规则没有屏蔽", "this rule is not shelved"),
    "unknown_subject": Text(
        "没有这个设备、测点或规则：用 status 查看编号",
        "no such device, point or rule: see its id with status",
    ),
    "is_out_of_service": Text("已经停用", "out of service already"),
    "in_service": Text("没有停用", "it is not out of service"),
    "alarm_open": Text(
        "有真实报警：先处理它，再演练或测试",
        "a real alarm is open: deal with it first, then practise",
    ),
    "drill_running": Text("已有演练：先结束它", "a drill is under way: end it first"),
    "no_drill": Text("没有演练", "no drill is under way"),
    "unknown_rule": Text(
        "没有这条规则：用 status 查看编号", "no such rule of the site: see its id with status"
    ),
    "unknown_point": Text(
        "没有这个测点：用 status 查看编号", "no such point: see its id with status"
    ),
    "no_test": Text("这个测点没有在测试", "this point is not under test"),
    "not_asked": Text("没有查岗要应答", "no post check waits for an answer"),
    "self_test_running": Text("自检正在进行", "a self-test is under way"),
    "no_patrol": Text(
        "本站没有配置巡查：在 site.yaml 写 patrol", "no patrol here: write `patrol` in site.yaml"
    ),
    "reload_failed": Text(
        "新的配置没有生效，原配置继续运行：查看日志",
        "the new site file was not taken, the old one goes on: see the log",
    ),
    "alarm_sounding": Text("报警正在响，不能试灯", "an alarm sounds: no lamp test now"),
}
