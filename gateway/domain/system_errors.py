"""What the operating system says of a file, a folder or a port, in both languages."""

import errno

from gateway.domain.text import Text

_SAID = {
    errno.ENOENT: Text("没有这个文件或目录", "there is no such file or folder"),
    errno.EISDIR: Text("这是目录，不是文件", "it is a folder, not a file"),
    errno.ENOTDIR: Text("没有这个目录", "there is no such folder"),
    errno.EACCES: Text("没有权限（加 sudo？）", "permission denied (use sudo?)"),
    errno.EPERM: Text("没有权限（加 sudo？）", "permission denied (use sudo?)"),
    errno.ENOSPC: Text("磁盘已满", "the disk is full"),
    errno.EROFS: Text("磁盘只读", "the disk is read-only"),
    errno.ENAMETOOLONG: Text("名称太长", "the name is too long"),
    errno.ELOOP: Text("链接指来指去没有尽头", "its links go round in a circle"),
    errno.EIO: Text("磁盘读写出错", "the disk fails to read or write"),
    errno.EADDRINUSE: Text("端口已被占用", "the port is in use already"),
    errno.ECONNREFUSED: Text("对方拒绝连接", "connection refused"),
    errno.EHOSTUNREACH: Text("没有到那里的通路", "no way there"),
    errno.ENETUNREACH: Text("没有到那里的通路", "no way there"),
    errno.ETIMEDOUT: Text("没有应答", "no answer"),
    errno.EADDRNOTAVAIL: Text("本机没有这个地址", "this machine has no such address"),
}


# What SQLite says by a text alone.
SQLITE = {
    "disk I/O error": Text("磁盘读写出错", "disk I/O error"),
    "database or disk is full": Text("数据库或磁盘已满", "database or disk is full"),
    "database is locked": Text("数据库被别的程序占用", "database is locked"),
    "unable to open database file": Text("数据库打不开", "unable to open database file"),
    "attempt to write a readonly database": Text(
        "数据库不可写", "attempt to write a readonly database"
    ),
    "database disk image is malformed": Text("数据库损坏", "database disk image is malformed"),
    "file is not a database": Text("这个文件不是数据库", "file is not a database"),
}


def said_of(number: int, otherwise: str) -> Text:
    """The words for an errno; `otherwise` where there are none here."""
    return _SAID.get(number, Text(otherwise, otherwise))


def why(error: Exception) -> Text:
    """The reason in words; what the system says where there are none here."""
    number = getattr(error, "errno", None)
    if number in _SAID:
        return _SAID[number]
    if isinstance(error, TimeoutError):
        return _SAID[errno.ETIMEDOUT]
    said = str(getattr(error, "strerror", None) or error)
    return SQLITE.get(said, Text(said, said))
