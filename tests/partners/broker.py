"""A real mosquitto of the test's own, on a unix socket or a free TCP port."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from gateway.domain.site import Broker

DEADLINE_S = 30.0


def mosquitto_path() -> str | None:
    """The broker's program; Debian keeps it where a plain user's PATH does not look."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A TCP port that was free a moment ago; only for listeners that cannot bind port 0."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Mosquitto:
    """Start, stop, kill and restart one broker; `with Mosquitto() as broker`.

    `config` is added to the configuration file, `acl` makes an ACL file. With `tcp` it listens
    on a free port, else on a unix socket; `ports` are those of further listeners in `config`,
    waited for too. The folder has a short name of its own because the
    path of a unix socket is limited to 107 bytes.
    """

    def __init__(
        self,
        *,
        config: str = "",
        acl: str | None = None,
        tcp: bool = False,
        ports: tuple[int, ...] = (),
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mq"))
        self._process: subprocess.Popen[bytes] | None = None
        self._config = config
        self._acl = acl
        self._ports = ports
        self.port = free_port() if tcp else 0
        self.socket_path = self._folder / "s"

    @property
    def broker(self) -> Broker:
        if self.port:
            return Broker("127.0.0.1", self.port)
        return Broker("localhost", 0, unix_path=str(self.socket_path))

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}" if self.port else f"mqtt+unix://{self.socket_path}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        path = mosquitto_path()
        assert path is not None, "mosquitto is not installed"
        listener = (
            f"listener {self.port} 127.0.0.1" if self.port else (f"listener 0 {self.socket_path}")
        )
        lines = [listener, "allow_anonymous true", "log_dest file " + str(self._folder / "log")]
        if os.geteuid() == 0:
            lines.append("user root")
        if self._acl is not None:
            (self._folder / "acl").write_text(self._acl)
            lines.append(f"acl_file {self._folder / 'acl'}")
        (self._folder / "conf").write_text("\n".join([*lines, self._config, ""]))
        self.socket_path.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [path, "-c", str(self._folder / "conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_it_listens()

    def configure(self, config: str) -> None:
        """Change what was added to the configuration file, from the next start on."""
        self._config = config

    def stop(self) -> None:
        """SIGTERM: clients see the connection close."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(DEADLINE_S)
            self._process = None

    def _wait_until_it_listens(self) -> None:
        own: tuple[int | str, ...] = (self.port or str(self.socket_path),)
        for address in own + self._ports:
            self._wait_for(address)

    def _wait_for(self, address: int | str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
            with socket.socket(family) as sock:
                try:
                    sock.connect(("127.0.0.1", address) if isinstance(address, int) else address)
                except OSError:
                    assert self._process is not None
                    assert self._process.poll() is None, self.log()
                    assert time.monotonic() < deadline, "mosquitto does not listen"
                    time.sleep(0.01)
                else:
                    return

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
