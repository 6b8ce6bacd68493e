"""What the commands `tag` and `nfc` say when something is wrong: one sentence and what to do."""

from gateway.domain.text import Text


class Refused(Exception):
    """It cannot be done; `say` is for people, `code` for programs; `exit_code` 1 or 2."""

    def __init__(self, code: str, say: Text, *details: str, exit_code: int = 1) -> None:
        super().__init__(code)
        self.code = code
        self.say = Text(say.zh.format(*details), say.en.format(*details))
        self.exit_code = exit_code


TAGS = {
    "no_tag": Text(
        "读卡器上没有标签：把标签放平、放近", "no tag on the reader: lay it flat, close"
    ),
    "phone": Text(
        "这是手机，号码每次都变：放标签", "this is a phone, its number changes: lay a tag there"
    ),
    "wrong_kind": Text(
        "不是 NTAG213/215/216（{}）：换一张；金属柜上用抗金属标签",
        "not an NTAG213/215/216 ({}): take one; on metal, one made for metal",
    ),
    "unreadable": Text(
        "标签没有格式化或已损坏：加 --overwrite 再试，不行就换一张",
        "not formatted, or damaged: try --overwrite, else take another tag",
    ),
    "foreign": Text(
        "标签上是别人的链接 {}：确定要改写就加 --overwrite",
        "it holds somebody else's link {}: add --overwrite if it is to go",
    ),
    "guarded": Text(
        "标签有口令，不是这把钥匙的：用写它时的 --key，或换一张",
        "it has a password that is not of this key: use the --key it was written with, or another"
        " tag",
    ),
    "locked": Text(
        "标签已永久锁定，不能再写：换一张",
        "it is locked for ever and cannot be written: another tag",
    ),
    "full": Text(
        "内容太长（{} 字节）：--text 短一点，或用 NTAG215/216",
        "too long for this tag ({} bytes): a shorter --text, or an NTAG215/216",
    ),
    "left": Text(
        "标签中途离开了：放好不动，再来一次", "the tag was moved away: hold it still and try again"
    ),
    "differs": Text(
        "读回的内容不一样：再写一次，还不行就换一张",
        "what was read back differs: write it again, else take another tag",
    ),
}
READERS = {
    "absent": Text("读卡器没有插上：{}", "the reader is not plugged in: {}"),
    "denied": Text(
        "没有权限使用读卡器：用 sudo，或把用户加入 dialout 和 plugdev 组（{}）",
        "no permission for the reader: use sudo, or add the user to dialout and plugdev ({})",
    ),
    "busy": Text(
        "另一个程序在用读卡器：先停掉它（{}）", "another program has the reader: stop it first ({})"
    ),
    "mute": Text(
        "读卡器不应答：拔下再插上；PN532 拨码选 HSU，收发线不要接反（{}）",
        "the reader does not answer: replug it; PN532 switches to HSU, RX and TX not swapped ({})",
    ),
    "lost": Text(
        "读卡器读到一半失败：再来一次（{}）", "the reader failed in the middle: try again ({})"
    ),
    "none": Text(
        "不知道读卡器在哪里：site.yaml 写 reader:，或给 --device",
        "no reader is known: write reader: into site.yaml, or give --device",
    ),
    "kept": Text(
        "读卡器进程不放手：systemctl restart care-gateway-reader",
        "the reader's process does not let go: systemctl restart care-gateway-reader",
    ),
}
OTHERS = {
    "missing": Text(
        "缺少 nfcpy：pip install 'care-gateway[nfc]'",
        "nfcpy is missing: pip install 'care-gateway[nfc]'",
    ),
    "no_key": Text(
        "没有钥匙文件 {}：用 head -c 32 /dev/urandom 生成并妥善备份，或加 --no-password",
        "there is no key file {}: make one with head -c 32 /dev/urandom and keep a copy of it, or"
        " use --no-password",
    ),
    "short_key": Text("钥匙文件 {} 少于 16 字节", "the key file {} has fewer than 16 bytes"),
    "bad_url": Text(
        "`{}` 不是手机能打开的地址：写 http://192.168.1.5:8080 这样的",
        "`{}` is no address a phone could open: write one like http://192.168.1.5:8080",
    ),
    "no_checkpoint": Text(
        "没有巡查点 {}：先写进 patrol: 并重新加载",
        "there is no checkpoint {}: add it under patrol:, reload",
    ),
    "no_right": Text(
        "{} 不能登记标签：people.yaml 里没有这个工号、已过期，或角色不是运维",
        "{} may not register tags: not in people.yaml, expired, or no technician",
    ),
    "not_registered": Text(
        "标签已写好，但没有登记：再运行一次（{}）",
        "the tag is written but not registered: run it again ({})",
    ),
    "other_checkpoint": Text(
        "这张标签登记在 {}，不是 {}", "this tag is registered at {}, not at {}"
    ),
    "unknown_tag": Text(
        "这张标签没有登记：care-gateway tag write",
        "this tag is not registered: care-gateway tag write",
    ),
    "retired": Text("这张标签已停用", "this tag was taken down"),
    "other_token": Text(
        "标签上的链接和登记的不一样：被改写过，重写一次",
        "its link is not the one that was registered: it was rewritten; write it again",
    ),
    "unguarded": Text("标签没有口令，谁都能改写", "it has no password: anybody can rewrite it"),
}
DONE = {
    "written": Text("已写好并登记：{}（{}）", "written and registered: {} ({})"),
    "good": Text("正常：{}", "good: {}"),
    "retired": Text("已停用：{}", "taken down: {}"),
    "put_down": Text("把标签放到读卡器上……", "lay the tag on the reader ..."),
    "empty": Text("没有登记的标签", "no tag is registered"),
}
