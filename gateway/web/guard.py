"""What every request must pass and every answer carries (design 13).

A page on the internet that a browser of this house visits cannot reach the console under a name
of its own (DNS rebinding): a request must name this machine, or an address.
"""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from ipaddress import ip_address
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LONGEST_TARGET = 1024  # path and query
LONGEST_FORM = 64 * 1024
LONGEST_UPLOAD = 25_000_000  # three photos as a phone takes them
METHODS = frozenset({"GET", "HEAD"})  # the duty page is read-only

POLICY = (
    b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    b"object-src 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not `no-referrer`: a form's Origin would then be "null", which says nothing.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), usb=()"),
)
# Nothing is known yet of who asks: both languages.
NOT_OUR_NAME = (
    "这不是本机的名称：请用 IP 地址打开，或请运维用 care-gateway console --host 加上这个名称\n"
    "not a name of this machine: open it by its IP address, or have the technician add the name "
    "with care-gateway console --host\n"
)
NOT_OUR_FORM = (
    "这张表不是从本机的页面来的：请再贴一次卡\n"
    "this form is not from a page of this machine: tap the tag again\n"
)


def guarded(app: App, hosts: Collection[str], posts_to: str = "") -> App:
    """Return `app` behind the guard. `hosts` are this machine's names, without ports.

    Forms may be sent to addresses that begin with `posts_to`, from pages of this machine only.
    """
    allowed = frozenset(host.lower().rstrip(".") for host in hosts)

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        refusal = _refusal(scope, allowed, posts_to)
        if refusal is None:
            await app(scope, receive, send_guarded)
        else:
            await _answer(send_guarded, *refusal)

    return guard


def _refusal(scope: Scope, allowed: Collection[str], posts_to: str) -> tuple[int, bytes] | None:
    is_form = scope["method"] == "POST" and posts_to and scope["path"].startswith(posts_to)
    if scope["method"] not in METHODS and not is_form:
        return 405, b"read-only: GET"
    if len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_TARGET:
        return 414, b"too long"
    if not (scope["raw_path"].isascii() and scope["query_string"].isascii()):
        return 400, b"an address is ASCII, the rest percent-encoded"
    given = [value for name, value in scope["headers"] if name == b"host"]
    if len(given) != 1 or not is_allowed(given[0].decode("latin-1"), allowed):
        return 421, NOT_OUR_NAME.encode()
    return _form_refusal(scope, given[0]) if is_form else None


def _form_refusal(scope: Scope, host: bytes) -> tuple[int, bytes] | None:
    """A form says how long it is, and comes from a page of ours, as far as the browser tells."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    if not length.isdigit() or len(length) > 12:
        return 411, b"a form says how long it is"
    is_upload = headers.get(b"content-type", b"").startswith(b"multipart/")
    if int(length) > (LONGEST_UPLOAD if is_upload else LONGEST_FORM):
        return 413, b"too much"
    origin = headers.get(b"origin", b"null")
    is_foreign = origin != b"null" and origin.rpartition(b"//")[2].lower() != host.lower()
    if is_foreign or headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
        return 403, NOT_OUR_FORM.encode()
    return None


def is_allowed(host: str, allowed: Collection[str]) -> bool:
    """True for an address, or one of the allowed names; a port may follow."""
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        port = port.removeprefix(":") if bracket else "?"
    else:
        name, _, port = host.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return False
    name = name.lower().rstrip(".")
    if name in allowed:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
