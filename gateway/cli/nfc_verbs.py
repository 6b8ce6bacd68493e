"""The verbs `tag` and `nfc` of the command line, with their options."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.durations import time_option
from gateway.domain.text import Lang, Text

LEND = Path("/run/care-gateway-reader/lend.sock")
KEY = Path("/etc/care-gateway/tag.key")

_HELP = {
    "tag": Text("巡查点的 NFC 标签。", "The NFC tags of the checkpoints."),
    "read": Text("读出读卡器上的标签。", "Read the tag on the reader."),
    "write": Text(
        "写标签：链接、文字、口令；读回核对，并登记到守护进程。",
        "Write a tag: link, text, password; read it back and register it.",
    ),
    "verify": Text(
        "核对标签：能读、已登记、位置对、没有被改写。",
        "Check a tag: readable, registered, in its place, not rewritten.",
    ),
    "list": Text("已登记的标签。", "The registered tags."),
    "retire": Text("停用标签。", "Take a tag down."),
    "nfc": Text("NFC 读卡器。", "The NFC reader."),
    "doctor": Text(
        "读卡器不好用时：逐项检查，每一处说怎么办。",
        "When the reader does not work: look at each part, with the cure for each.",
    ),
    "watch": Text(
        "显示放上读卡器的标签，每张一行，到 Ctrl-C 为止。",
        "Print what is laid on the reader, a line each, until Ctrl-C.",
    ),
    "checkpoint": Text("巡查点代号。", "The checkpoint's code."),
    "as": Text("谁来做：员工工号。", "Who does it: a staff code."),
    "url": Text(
        "手机能打开的网关地址，如 http://192.168.1.5:8080。",
        "The gateway's address for phones, e.g. http://192.168.1.5:8080.",
    ),
    "text": Text(
        "写在标签上的文字，默认是巡查点名称。", "Text on it; the checkpoint's name if not given."
    ),
    "key": Text("标签口令的钥匙文件。", "The file of the key that passwords are made from."),
    "no_password": Text("不设口令：谁都能改写。", "No password: anybody can rewrite it."),
    "overwrite": Text("别人的链接也改写。", "Replace a link that is somebody else's too."),
    "lock": Text("永久锁定：以后谁也不能改写。", "Lock it for ever: nobody can write it again."),
    "wait": Text("等标签多少秒。", "Seconds to wait for a tag."),
    "device": Text(
        "读卡器的串口或 usb:VID:PID，默认按 site.yaml。",
        "The reader's port or usb:VID:PID, if not as in site.yaml.",
    ),
    "uid": Text(
        "标签的号码；不给就读读卡器上的。", "The tag's UID; without it, the one on the reader."
    ),
    "why": Text("为什么停用。", "Why."),
    "erase": Text("同时清空读卡器上的这张。", "Empty the one on the reader as well."),
    "socket": Text("守护进程的套接字。", "The daemon's socket."),
    "lend": Text("向读卡器进程借读卡器的套接字。", "Where the reader's process lends it."),
    "json": Text("输出 JSON。", "Print JSON."),
    "lang": Text("语言，默认取自 LANG。", "Language; LANG decides if not given."),
    "for": Text("多久后自行结束，如 60s、5m。", "End after this time, such as 60s or 5m."),
}


def add_nfc_verbs(app: typer.Typer, lang: Lang, socket_path: Path) -> None:
    """Add `tag` and `nfc`, with their help in `lang`."""

    def option(name: str, key: str = "") -> Any:
        return typer.Option(name, help=_HELP[key or name.lstrip("-")].in_(lang))

    socket_option, lend_option = option("--socket"), option("--lend")
    device_option, wait_option = option("--device"), option("--wait")
    json_option, lang_option = option("--json"), option("--lang")
    key_option, by_option = option("--key"), option("--as")

    tag = typer.Typer(help=_HELP["tag"].in_(lang), no_args_is_help=True)
    nfc = typer.Typer(help=_HELP["nfc"].in_(lang), no_args_is_help=True)
    app.add_typer(tag, name="tag")
    app.add_typer(nfc, name="nfc")

    @tag.command("read", help=_HELP["read"].in_(lang))
    def read(
        device: Annotated[str | None, device_option] = None,
        wait: Annotated[float, wait_option] = 15.0,
        key: Annotated[Path, key_option] = KEY,
        socket: Annotated[Path, socket_option] = socket_path,
        lend: Annotated[Path, lend_option] = LEND,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.tag import Desk
        from gateway.cli.tag import read as read_tag

        raise typer.Exit(read_tag(Desk(socket, lend, device, wait, lang, as_json), key))

    @tag.command("write", help=_HELP["write"].in_(lang))
    def write(
        checkpoint: Annotated[str, typer.Argument(help=_HELP["checkpoint"].in_(lang))],
        by: Annotated[str, by_option],
        url: Annotated[str, option("--url")],
        text: Annotated[str | None, option("--text")] = None,
        key: Annotated[Path, key_option] = KEY,
        has_no_password: Annotated[bool, option("--no-password", "no_password")] = False,
        may_overwrite: Annotated[bool, option("--overwrite")] = False,
        is_final: Annotated[bool, option("--lock")] = False,
        device: Annotated[str | None, device_option] = None,
        wait: Annotated[float, wait_option] = 15.0,
        socket: Annotated[Path, socket_option] = socket_path,
        lend: Annotated[Path, lend_option] = LEND,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.tag import Desk
        from gateway.cli.tag import write as write_tag

        raise typer.Exit(
            write_tag(
                Desk(socket, lend, device, wait, lang, as_json),
                checkpoint,
                by=by,
                url=url,
                text=text,
                key_file=None if has_no_password else key,
                may_overwrite=may_overwrite,
                is_final=is_final,
            )
        )

    @tag.command("verify", help=_HELP["verify"].in_(lang))
    def verify(
        checkpoint: Annotated[
            str | None, typer.Argument(help=_HELP["checkpoint"].in_(lang))
        ] = None,
        key: Annotated[Path, key_option] = KEY,
        device: Annotated[str | None, device_option] = None,
        wait: Annotated[float, wait_option] = 15.0,
        socket: Annotated[Path, socket_option] = socket_path,
        lend: Annotated[Path, lend_option] = LEND,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.tag import Desk
        from gateway.cli.tag import verify as verify_tag

        desk = Desk(socket, lend, device, wait, lang, as_json)
        raise typer.Exit(verify_tag(desk, checkpoint, key))

    @tag.command("list", help=_HELP["list"].in_(lang))
    def list_(
        socket: Annotated[Path, socket_option] = socket_path,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.tag import Desk, list_tags

        raise typer.Exit(list_tags(Desk(socket, LEND, None, 0.0, lang, as_json)))

    @tag.command("retire", help=_HELP["retire"].in_(lang))
    def retire(
        by: Annotated[str, by_option],
        uid: Annotated[str | None, typer.Argument(help=_HELP["uid"].in_(lang))] = None,
        why: Annotated[str, option("--why")] = "",
        is_erased: Annotated[bool, option("--erase")] = False,
        key: Annotated[Path, key_option] = KEY,
        device: Annotated[str | None, device_option] = None,
        wait: Annotated[float, wait_option] = 15.0,
        socket: Annotated[Path, socket_option] = socket_path,
        lend: Annotated[Path, lend_option] = LEND,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.tag import Desk
        from gateway.cli.tag import retire as retire_tag

        desk = Desk(socket, lend, device, wait, lang, as_json)
        raise typer.Exit(retire_tag(desk, uid, by=by, why=why, key_file=key, is_erased=is_erased))

    @nfc.command("doctor", help=_HELP["doctor"].in_(lang))
    def doctor(
        device: Annotated[str | None, device_option] = None,
        socket: Annotated[Path, socket_option] = socket_path,
        lend: Annotated[Path, lend_option] = LEND,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.nfc import doctor as look
        from gateway.cli.tag import Desk

        raise typer.Exit(look(Desk(socket, lend, device, 0.0, lang, as_json)))

    @nfc.command("watch", help=_HELP["watch"].in_(lang))
    def watch(
        device: Annotated[str | None, device_option] = None,
        seconds: Annotated[float | None, time_option("--for", _HELP["for"].in_(lang))] = None,
        socket: Annotated[Path, socket_option] = socket_path,
        lend: Annotated[Path, lend_option] = LEND,
        as_json: Annotated[bool, json_option] = False,
        lang: Annotated[Lang, lang_option] = lang,
    ) -> None:
        from gateway.cli.nfc import watch as show
        from gateway.cli.tag import Desk

        raise typer.Exit(show(Desk(socket, lend, device, 0.0, lang, as_json), seconds))
