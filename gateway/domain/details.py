"""What exactly a fault says of itself, in words: `detail` is kept and sent as one text in English.

Screens and sheets for people ask here; what has no word stays as it is, names and numbers with it.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache

from gateway.domain.reasons import reason_text
from gateway.domain.system_errors import SQLITE, said_of
from gateway.domain.text import Lang, Text

_EXACT = {
    "timeout": Text("没有应答", "no answer"),
    "its answer comes damaged or cut": Text("应答损坏或不完整", "its answer comes damaged or cut"),
    "answers come for the question before": Text(
        "答的是上一个问题", "answers come for the question before"
    ),
    "only the beginning of an answer came in time": Text(
        "只及时收到应答的开头", "only the beginning of an answer came in time"
    ),
    "it answers later than the timeout": Text(
        "应答比 timeout 还晚", "it answers later than the timeout"
    ),
    "its answer has another function or length than asked for": Text(
        "应答的功能码或长度与所问不符", "its answer has another function or length than asked for"
    ),
    "its answer carries another number than the question": Text(
        "应答的编号与问题不符", "its answer carries another number than the question"
    ),
    "what comes is no Modbus: wrong baud rate or parity, or a disturbed line": Text(
        "收到的不是 Modbus：波特率或校验不对，或线路受干扰",
        "what comes is no Modbus: wrong baud rate or parity, or a disturbed line",
    ),
    "what comes is no Modbus TCP": Text("收到的不是 Modbus TCP", "what comes is no Modbus TCP"),
    "RTU frames come: the converter must be set to Modbus TCP": Text(
        "收到的是 RTU 帧：转换器要设为 Modbus TCP",
        "RTU frames come: the converter must be set to Modbus TCP",
    ),
    "only our own question comes back": Text(
        "只收到自己问的话", "only our own question comes back"
    ),
    "button held down for a minute": Text("按钮被按住一分钟", "button held down for a minute"),
    "commands or faults lost": Text("丢了命令或故障", "commands or faults lost"),
    "lent to a command and not given back": Text(
        "借给命令后没有归还", "lent to a command and not given back"
    ),
    "the platform does not answer": Text("平台不应答", "the platform does not answer"),
    "no connection": Text("连不上", "no connection"),
    "no answer to CONNECT": Text("登录没有应答", "no answer to CONNECT"),
    "no answer to SUBSCRIBE": Text("订阅没有应答", "no answer to SUBSCRIBE"),
    "closed after CONNECT": Text("登录后即断开", "closed after CONNECT"),
    "closed in answer to CONNECT": Text("登录即断开", "closed in answer to CONNECT"),
    "the port answers a TLS hello": Text("这个端口要 TLS", "the port answers a TLS hello"),
    "certificate has expired": Text("证书已过期", "certificate has expired"),
    "certificate is not yet valid": Text("证书尚未生效", "certificate is not yet valid"),
    "self-signed certificate": Text("自签的证书", "self-signed certificate"),
    "self-signed certificate in certificate chain": Text(
        "证书链里有不认识的根证书", "self-signed certificate in certificate chain"
    ),
    "unable to get local issuer certificate": Text(
        "tls.ca 不是签发它的机构", "unable to get local issuer certificate"
    ),
    "timed out": Text("没有应答", "timed out"),
    "the broker does not answer it": Text("消息服务器不应答", "the broker does not answer it"),
    "Bad user name or password": Text("用户名或密码不对", "Bad user name or password"),
    "Not authorized": Text("没有授权", "Not authorized"),
    "Client identifier not valid": Text("网关代号无效", "Client identifier not valid"),
    "Server unavailable": Text("消息服务器不可用", "Server unavailable"),
    "Server busy": Text("消息服务器忙", "Server busy"),
    "Banned": Text("被禁止登录", "Banned"),
    "Session taken over": Text("同一代号在别处登录", "Session taken over"),
    "not authorized": Text("没有授权", "not authorized"),
    "packet too large": Text("报文太大", "packet too large"),
    "quota exceeded": Text("超出配额", "quota exceeded"),
    "topic name invalid": Text("主题无效", "topic name invalid"),
    "payload format invalid": Text("内容格式无效", "payload format invalid"),
    "no matching subscribers": Text("没有人订阅", "no matching subscribers"),
    "unspecified error": Text("未说明的错误", "unspecified error"),
    "implementation specific error": Text("服务器自己的错误", "implementation specific error"),
    "packet identifier in use": Text("报文编号已占用", "packet identifier in use"),
    "not plugged in": Text("没有插上", "not plugged in"),
    "no permission": Text("没有权限", "no permission"),
    "in use by another program": Text("被别的程序占用", "in use by another program"),
    "does not answer": Text("没有应答", "does not answer"),
    "fails while it reads": Text("读取时出错", "fails while it reads"),
    "platform": Text("平台", "platform"),
    "local": Text("网关", "the gateway"),
}
_SHAPED = (  # a pattern, and its words with what stands in the brackets
    (r"no such port: (.+)", "没有这个串口：{}"),
    (r"no adapter (\S+) is plugged in", "没有插上 {}"),
    (r"no adapter behind (.+)", "{} 后面没有适配器"),
    (r"no permission to open (.+)", "没有权限打开 {}"),
    (r"(\S+) is not there", "{} 不存在"),
    (
        r"(\d+) adapters are (\S+): (.+); write one of the names in brackets",
        "{} 个转换器是 {}：{}；写括号里的一个名字",
    ),
    (r"(\S+) is in use by another program", "{} 被别的程序占用"),
    (r"(\S+) does not take (.+)", "{} 不支持 {}"),
    (r"the driver of (\S+) cannot switch RS-485 direction with RTS", "{} 不能用 RTS 切换收发"),
    (r"(\S+) is not a serial port", "{} 不是串口"),
    (r"(\S+) cannot be opened: (.+)", "{} 打不开：{}"),
    (r"(\S+) was unplugged or failed", "{} 被拔出或损坏"),
    (r"(\S+) closed the connection", "{} 断开了连接"),
    (r"(\S+) refuses connections", "{} 拒绝连接"),
    (r"no answer from (\S+)", "{} 没有应答"),
    (r"no route to (\S+)", "没有到 {} 的通路"),
    (r"no name server answers where (\S+) is", "没有域名服务器知道 {} 在哪里"),
    (r"unknown host: (\S+)", "没有这个主机：{}"),
    (r"(\S+) cannot be reached: (.+)", "连不上 {}：{}"),
    (r"unit (\d+) answers instead", "答话的是站号 {}"),
    (r"it answers as unit (\d+)", "它自称站号 {}"),
    (r"asks unit (.+)", "在问站号 {}"),
    (r"(\d+) registers came instead of (\d+)", "来了 {} 个寄存器，应为 {} 个"),
    (r"(\d+) failures in a minute", "一分钟内出错 {} 次"),
    (r"no answer for (\d+) s", "{} 秒没有应答"),
    (r"(.+): not read for (\d+) s, planned (\d+) s(.*)", "{}：{} 秒没有读到，计划 {} 秒{}"),
    (
        r"(\d+)% used, (\d+) MB free on the disk, (\d+) MB not written back",
        "已用 {}%，磁盘剩 {} MB，未写回 {} MB",
    ),
    (r"(.+); kept as (.+)", "{}；另存为 {}"),
    (r"(.+); the disk of (.+) is full", "{}；{} 的磁盘已满"),
    (r"(.+); (.+) may not be written", "{}；{} 不可写"),
    (r"(.+); (.+) is no file", "{}；{} 不是文件"),
    (
        r"(.+); a newer version of the program wrote (\S+): (.+)",
        "{}；{} 由更新的版本写过：{}",
    ),
    (r"closes the link, (\d+) bytes", "使连接断开，{} 字节"),
    (r"(\w+-[ABR]-\d+): (.+)", "{}：{}"),
    (r"the broker closes the connection: (.+)", "消息服务器断开连接：{}"),
    (
        r"Hostname mismatch, certificate is not valid for '(.+)'\.?",
        "证书上没有这个名称：{}",
    ),
    (r"([\w.\[\]:-]+:\d+): (.+)", "{}：{}"),
    (r"may not subscribe to dn/#: (.+)", "不准订阅 dn/#：{}"),
)
_ERRNO = re.compile(r"\[Errno (\d+)\] ([^:;]+)")


def detail_text(detail: str) -> Text:
    """The words for a detail; the detail itself where there are none."""
    if (known := _EXACT.get(detail) or SQLITE.get(detail)) is not None:
        return known
    if found := re.fullmatch(r"(\d+) devices(?:, (.*))?", detail):
        return _devices(found[1], found[2] or "")
    if found := re.fullmatch(r"Modbus exception 0x([0-9A-F]{2})", detail):
        return Text(f"Modbus 异常应答 0x{found[1]}", detail)
    if " … " in detail:  # points, then the codes of their qualities
        names, _, codes = detail.partition(" … ")
        reasons = [reason_text(code) for code in codes.split(", ")]
        return Text(
            f"{names}：{'、'.join(each.zh for each in reasons)}",
            f"{names}: {', '.join(each.en for each in reasons)}",
        )
    for matches, words in _shapes():
        if found := matches(detail):
            return Text(words.format(*(_part(each) for each in found.groups())), detail)
    if found := re.fullmatch(r"([a-z ]+): (.*)", detail, re.DOTALL):
        head = _EXACT.get(found[1])  # `not plugged in: /dev/ttyUSB0`
        if head is not None:
            rest = detail_text(found[2])
            return Text(f"{head.zh}：{rest.zh}".rstrip("："), f"{head.en}: {rest.en}".rstrip(": "))
    return Text(*(_with_words(detail, lang) for lang in (Lang.ZH, Lang.EN)))


def _with_words(detail: str, lang: Lang) -> str:
    """The system's numbers in words; who reads this is not who was refused: sudo does not help."""

    def said(found: re.Match[str]) -> str:
        return said_of(int(found[1]), found[2]).in_(lang).partition("（")[0].partition(" (")[0]

    return _ERRNO.sub(said, detail)


def _devices(count: str, why: str) -> Text:
    if not why:
        return Text(f"{count} 台设备", f"{count} devices")
    said = detail_text(why)
    return Text(f"{count} 台设备，{said.zh}", f"{count} devices, {said.en}")


def _part(said: str | None) -> str:
    """What stands in a shape: itself a detail, a name or a number."""
    return detail_text(said).zh if said else ""


@cache
def _shapes() -> Iterable[tuple[Callable[[str], re.Match[str] | None], str]]:
    return tuple((re.compile(shape, re.DOTALL).fullmatch, words) for shape, words in _SHAPED)
