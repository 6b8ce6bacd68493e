"""Why the quality of a reading is not good, in words: the codes are for programs."""

from gateway.domain.text import Text

_WORDS = {
    "not_read_yet": Text("还没有读到", "not read yet"),
    "silent": Text("未应答", "did not answer"),
    "bus_down": Text("总线断开", "bus down"),
    "busy": Text("设备忙", "device busy"),
    "gateway_path": Text("转换器没有通路", "no way through the bridge"),
    "gateway_target": Text("转换器后面的设备未应答", "did not answer behind the bridge"),
    "word_count": Text("应答长度不符", "reply of a wrong length"),
    "sentinel": Text("设备报无效值", "the device says: no value"),
    "out_of_range": Text("超出有效范围", "out of the valid range"),
    "not_a_number": Text("不是数", "not a number"),
    "not_text": Text("不是文字", "not text"),
    "decimals_unknown": Text("小数位数未知", "decimals unknown"),
    "unit_unknown": Text("单位未知", "unit unknown"),
    "stuck": Text("数值长时间不变", "has not moved for too long"),
    "stale": Text("陈旧", "stale"),
    "calibration_overdue": Text("检定过期", "calibration overdue"),
    "sensor_life_over": Text("传感器超过使用寿命", "sensor past its service life"),
    "bump_test_overdue": Text("通气试验过期", "bump test overdue"),
    "wrong_device": Text("不像这台设备", "looks like another device"),
    "test": Text("测试", "test"),
    "self_test": Text("自检", "self-test"),
}


def reason_text(code: str) -> Text:
    """The words for a reason; the code itself where there are none."""
    head, _, rest = code.partition(":")
    if head == "gate" and rest:
        return Text(f"{rest} 未就绪", f"{rest} is not ready")
    if code.startswith("exception_"):
        number = code.removeprefix("exception_")
        return Text(f"异常应答 {number}", f"exception {number}")
    return _WORDS.get(code, Text(code, code))
