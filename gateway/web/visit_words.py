"""The words of the patroller's page; field/patrol-and-alarms 9 says which."""

from gateway.domain.text import Text

WORDS = {
    "patrol": Text("巡查", "Patrol"),
    "ok": Text("正常", "OK"),
    "bad": Text("异常", "Not OK"),
    "spot_check": Text("抽查", "Spot check"),
    "take_photo": Text("拍照", "Take a photo"),
    "photo_kept": Text("照片已收到；可重拍", "Photo received; you may take another"),
    "between": Text("正常范围 {} – {}", "normally {} to {}"),
    "note": Text("备注", "Note"),
    "hazard": Text("发现隐患", "Hazard found"),
    "hazard_what": Text("写明位置和情况", "What is it, and where exactly"),
    "send": Text("提交", "Send"),
    "send_again": Text("重新提交", "Send again"),
    "sending": Text("正在提交…", "Sending …"),
    "who": Text("巡查人", "Patrolled by"),
    "not_me": Text("不是我", "Not me"),
    "name": Text("姓名或工号", "Name or staff code"),
    "pin": Text("PIN", "PIN"),
    "is_own": Text(
        "这是我自己的手机，记住我 90 天", "This is my own phone: remember me for 90 days"
    ),
    "outside": Text("现在没有轮次：仍可巡查记录", "No round is on now: a visit is still recorded"),
    "visited": Text("本轮已巡过此点", "This round has been here already"),
    "alarm_here": Text(
        "此处有未结报警：提交即确认到场", "An alarm is open here: sending says that you are on site"
    ),
    "next": Text("下一站", "Next stop"),
    "minutes": Text("约 {} 分钟", "about {} min"),
    "recorded": Text("已记录", "Recorded"),
    "round_done": Text("本轮已巡完", "This round is complete"),
    "left": Text("还剩 {} 处", "Stops left: {}"),
    "proof": Text("证明等级", "Proof level"),
    "remarks": Text("提示", "Remarks"),
    "bad_told": Text("异常 {} 项，已上报", "Not OK, and reported: {}"),
    "missing": Text(
        "还没有答完：请补上标出的项目", "Not complete: answer the items that are marked"
    ),
    "not_a_number": Text("请填数字", "This must be a number"),
    "not_a_photo": Text("不是照片：请用相机拍摄", "This is no photo: take one with the camera"),
    "photo_too_big": Text(
        "照片太大：请降低相机分辨率", "The photo is too large: use a lower resolution"
    ),
    "no_photos": Text(
        "网关现在存不下照片：请告诉运维", "The gateway cannot keep photos: tell the technician"
    ),
    "stale_form": Text(
        "页面已过期，答案还在：请再按一次提交",
        "The page had expired; your answers are here: send again",
    ),
    "away": Text(
        "网关没有应答：还没有记录", "The gateway does not answer: nothing is recorded yet"
    ),
    "away_what": Text(
        "答案还在这个页面上：不要关闭，稍等再按提交。一直不行就先记在纸上，告诉值班长。",
        "Your answers are still on this page: keep it open, wait a moment, send again. "
        "If it stays, write them on paper and tell the duty leader.",
    ),
    "away_look": Text(
        "网关恢复后再贴一次标签。现在先看一遍，记在纸上。",
        "Tap the tag again once the gateway is back. Look round now, and write it on paper.",
    ),
    "cannot": Text("不能记录", "This cannot be recorded"),
    "photo_again": Text("照片要重拍", "The photo must be taken again"),
    "not_a_panel": Text("本设备不替代火灾报警控制器", "Not a fire alarm control panel"),
}
