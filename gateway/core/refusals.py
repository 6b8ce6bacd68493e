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
        "报警级不能屏蔽：排除原因，或凭工单停用该监测点",
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
        "没有这个设备、监测点或规则：用 status 查看编号",
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
        "没有这个监测点：用 status 查看编号", "no such point: see its id with status"
    ),
    "no_test": Text("这个监测点没有在测试", "this point is not under test"),
    "not_asked": Text("没有查岗要应答", "no post check waits for an answer"),
    "self_test_running": Text("自检正在进行", "a self-test is under way"),
    "no_patrol": Text(
        "本站没有配置巡查：在 site.yaml 写 patrol", "no patrol here: write `patrol` in site.yaml"
    ),
    "reload_failed": Text(
        "新的配置没有生效，原配置继续运行：查看日志",
        "the new site file was not taken, the old one goes on: see the log",
    ),
    "unknown_person": Text(
        "没有这个人员代号：在 people.yaml 登记", "no such staff code: enter it in people.yaml"
    ),
    "person_expired": Text("此人的有效期已过", "this person's entry has expired"),
    "no_right": Text("此人的角色无权这样做", "this person's role may not do this"),
    "unknown_phone": Text(
        "这部手机没有登记，或登记在别人名下：输入PIN",
        "this phone is not remembered, or is another's: give the PIN",
    ),
    "too_many_phones": Text("登记的手机太多：先注销旧的", "too many phones: forget old ones first"),
    "unknown_checkpoint": Text("没有这个巡查点", "no such checkpoint"),
    "unknown_item": Text(
        "有的项目这里不问：重新打开页面", "an item that is not asked here: open the page again"
    ),
    "items_missing": Text(
        "还有项目没有回答：全部回答后再提交", "items are not answered: answer them all, then send"
    ),
    "bad_answer": Text("答案不符合项目要求", "an answer does not fit its item"),
    "unknown_tag": Text(
        "标签未登记，或不在这个巡查点", "the tag is not registered, or not for this checkpoint"
    ),
    "tag_not_here": Text(
        "这是巡查点的标签：它应当贴在原处", "this is a checkpoint's tag: it should hang there"
    ),
    "replayed": Text("这个链接已经用过：重新贴卡", "this link was used before: tap the tag again"),
    "phone_card": Text(
        "手机不能当卡用：用工卡，或用手机扫标签", "a phone is no card: use a card, or tap the tag"
    ),
    "unknown_round": Text("没有这个轮次", "no such round"),
    "round_not_open": Text("这个轮次现在不能巡", "this round cannot be walked now"),
    "round_begun": Text("这个轮次已经开始或结束", "this round has begun, or is over"),
    "round_not_begun": Text(
        "这个轮次还没有到过任何点：写明漏巡原因",
        "nothing was visited in this round: explain why it was missed",
    ),
    "round_not_over": Text("这个轮次还没有结束", "this round is not over yet"),
    "round_signed": Text("这个轮次已经复核", "this round is signed already"),
    "own_round": Text("不能复核自己的轮次：由另一人签", "nobody signs their own round"),
    "nothing_to_explain": Text("这个轮次不需要说明", "this round needs no explanation"),
    "no_figures": Text("这个月没有你的数据", "there are no figures of yours in this month"),
    "clock_unsure": Text(
        "时钟不可信：等对时后再做", "the clock is not sure: wait until it is synchronised"
    ),
    "alarm_sounding": Text("报警正在响，不能试灯", "an alarm sounds: no lamp test now"),
    "device_not_answering": Text(
        "设备没有应答：查接线、站号和供电", "the device does not answer: wires, unit, power"
    ),
    "wrong_device": Text(
        "设备自报的型号不对：查站号或档案", "it says that it is another device: its unit or profile"
    ),
    "not_good": Text(
        "当前读数质量不是正常，不能验收：看 status 里的原因",
        "the reading is not good now, so it is not accepted: status says why",
    ),
    "differs": Text(
        "与仪表显示不一致：查寄存器、比例或互感器变比",
        "it is not what the display shows: the register, its scale, or the ratio of transformers",
    ),
    "not_tripped": Text(
        "测试中还没有触发这条报警：先开始测试，再让设备动作",
        "this alarm was not raised under test: begin a test, then trip the device",
    ),
    "not_shown": Text(
        "面板刚才没有试这一项：先试，再确认", "the panel has not shown this just now: try it first"
    ),
    "not_pressed": Text(
        "没有收到消音按钮：查按钮接线", "the silence button was not seen: its wires and pin"
    ),
    "not_seen": Text(
        "没有看到这个巡查点的标签：用手机或读卡器贴一次",
        "the tag of this checkpoint was not seen: tap it with a phone or at the reader",
    ),
    "not_tested": Text("先做自检（self-test）", "run a self-test first"),
    "not_received": Text(
        "自检没有收到平台的回执：看 uplink status",
        "the self-test did not come back from the platform: see uplink status",
    ),
    "clock_off": Text("时钟差了 2 秒以上：先对时", "the clock is off by more than 2 s: set it"),
    "needs_partner": Text(
        "还要由机构一方签字：给出人员代号", "the institution signs as well: give a staff code"
    ),
    "same_person": Text("两个签字不能是同一人", "the two who sign cannot be one person"),
    "cannot_simulate": Text(
        "这条规则不能用一个数值模拟：让设备真实动作",
        "no single value raises this rule: trip the device itself",
    ),
    "unknown_output": Text("面板没有接这一项", "the panel has no such output wired"),
}
