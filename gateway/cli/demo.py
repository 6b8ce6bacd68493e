"""`care-gateway demo`: the whole way, as a live page or one line an event; then the verdict."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway.cli.live import has_terminal
from gateway.cli.playing import perform_live
from gateway.domain.system_errors import why
from gateway.domain.text import Lang, Text
from gateway.sim.broker import BrokerMissing
from gateway.sim.checker import LAMP_OF, Match, Verdict
from gateway.sim.stage import WHO, PartDied, Report, perform
from gateway.sim.story import PASS_S

PAGE_COLUMNS = 100
TOO_SHORT = Text(
    f"故事一遍要 {PASS_S:.0f} 秒：请用 --for {PASS_S:.0f}s 或更长",
    f"one pass of the story takes {PASS_S:.0f} s: use --for {PASS_S:.0f}s or longer",
)
LONGEST_FOLDER = 80  # bytes: a Unix socket's path has at most 107
TOO_LONG = Text(
    "目录的路径太长（套接字最多 107 字节），请换一个短的：{}",
    "the folder's path is too long for the sockets in it, take a shorter one: {}",
)
NO_FOLDER = Text("无法使用目录 {}：{}", "cannot use the folder {}: {}")
NO_MISSED = Text(
    "  没有漏巡：那一轮在演示结束前没有到期",
    "  no missed round: the one that nobody walks was not due before the end",
)
SHOWN = Text("  值班台网页已显示漏巡", "  The duty page showed the missed round.")
FILES = Text("日志和数据库留在 {}", "logs and databases are left in {}")


def demo(
    seconds: float | None, *, lang: Lang, keep: Path | None = None, is_plain: bool = False
) -> int:
    """Return 0 when all that was planted came out right, 1 when not, 2 for a time too short.

    In a terminal a live page, else one line an event on stderr; the summary on stdout. Files go
    into `keep`, or into a temporary folder that is removed when all went well.
    """
    if seconds is not None and seconds < PASS_S:
        sys.stderr.write(TOO_SHORT.in_(lang) + "\n")
        return 2
    try:
        folder = _folder(keep)
    except OSError as error:
        sys.stderr.write(NO_FOLDER.in_(lang).format(keep, why(error).in_(lang)) + "\n")
        return 2
    if len(os.fsencode(folder)) > LONGEST_FOLDER:
        folder.rmdir()
        sys.stderr.write(TOO_LONG.in_(lang).format(folder) + "\n")
        return 2
    is_well = False
    try:
        play = _perform if is_plain or not has_terminal() else perform_live
        report = asyncio.run(play(seconds, folder, lang))
        if report is not None:
            print_summary(report, lang)
            is_well = report.is_well
    except (BrokerMissing, PartDied) as error:
        sys.stderr.write(f"{error}\n")
    finally:
        _clear(folder, keep, lang, is_well=is_well)
    return 0 if is_well else 1


async def _perform(seconds: float | None, folder: Path, lang: Lang) -> Report | None:
    """Play; the first Ctrl-C or SIGTERM ends the story with a verdict, the second without."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    started = time.monotonic()

    def stop() -> None:
        if ended.is_set() and task is not None:
            task.cancel()
        ended.set()

    def tell(who: str, what: Text) -> None:
        speaker, after = WHO[who].in_(lang), time.monotonic() - started
        sys.stderr.write(f"{after:6.1f} s  {speaker:<8} {what.in_(lang)}\n")
        sys.stderr.flush()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await perform(seconds, folder, lang=lang, tell=tell, ended=ended)
    except asyncio.CancelledError:
        return None


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="care-demo-"))
    keep.mkdir(parents=True)  # an old one would mix two runs
    return keep.resolve()


def _clear(folder: Path, keep: Path | None, lang: Lang, *, is_well: bool) -> None:
    if keep is None and is_well:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        sys.stderr.write(FILES.in_(lang).format(folder) + "\n")


def print_summary(report: Report, lang: Lang) -> None:
    """Print the page: the sums, each planted alarm, and what is wrong if anything is."""
    # A file or a pipe has no width of its own: lines there need not be folded at 80.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PAGE_COLUMNS)
    console.print(_title(report, lang))
    if report.page:
        said = Text(f"值班台网页在 {report.page}", f"The duty page was at {report.page}")
        console.print(said.in_(lang), markup=False)
    console.print()
    console.print(_sums(report, lang))
    console.print()
    console.print(_planted(report.verdict, lang))
    console.print()
    if report.missed is not None:
        console.print(_walked(report, lang))
        console.print()
    if report.touches:
        console.print(_interactive(report, lang), markup=False)
        console.print()
    for problem in report.problems:
        console.print(f"  ! {problem}", markup=False)
    good = Text("全部一致。", "All of it agrees.")
    bad = Text(f"{len(report.problems)} 处不一致。", f"{len(report.problems)} disagreements.")
    console.print((good if report.is_well else bad).in_(lang), markup=False)


def _title(report: Report, lang: Lang) -> str:
    return Text(
        f"演示 {report.seconds:.0f} 秒，消息服务器 {report.broker}，"
        f"其间断开 {report.broker_away_s:.1f} 秒",
        f"Demo of {report.seconds:.0f} s; broker: {report.broker}, "
        f"away for {report.broker_away_s:.1f} s of it",
    ).in_(lang)


def _interactive(report: Report, lang: Lang) -> str:
    """Say plainly what the verdict of a run with keys compares."""
    keys, touched, all_ = report.touches, report.verdict.touched, len(report.verdict.matches)
    return Text(
        f"本次有人按键（{keys} 次）：{all_} 项埋设中有 {touched} 项受其影响（标 *），"
        "可以出现也可以不出现，声光可以被别的报警盖住；出现的均须亮灯、入库并送达一次。"
        f"其余 {all_ - touched} 项按原样严格比对。没有人埋设的报警一律算错。",
        f"Keys were pressed in this run ({keys}): they touched {touched} of the {all_} planted "
        "alarms (marked *). Those may come or not, and another one may cover their lamp or sound; "
        "each that came must have lit its lamp, been recorded and arrived once. The other "
        f"{all_ - touched} are compared strictly. An alarm that nobody planted is always wrong.",
    ).in_(lang)


def _sums(report: Report, lang: Lang) -> Table:
    verdict = report.verdict
    delays = [m.onset.t_ms - m.sown.t_ms for m in verdict.matches if m.onset is not None]
    slowest = f"{max(delays, default=0) / 1000:.1f}"
    rows = (
        (Text("模拟设备中埋设的报警", "alarms planted in the simulated devices"),
         len(verdict.matches), Text("", "")),
        (Text("面板引脚上出现的报警", "alarms at the panel's pins"), verdict.onsets,
         Text(f"最慢在情节开始后 {slowest} 秒", f"slowest {slowest} s after its scene began")),
        (Text("已提交的触发记录", "raise records committed"), verdict.raises, Text("", "")),
        (Text("平台恰好应用一次的触发记录", "raise records applied once by the platform"),
         verdict.raises_applied_once, Text("", "")),
        (Text("应有的巡查记录", "records of the patrol that there must be"),
         sum(each.sown.must for each in verdict.found), Text("", "")),
        (Text("平台恰好应用一次的巡查记录", "records of the patrol applied once by the platform"),
         sum(each.applied == 1 for each in verdict.found), Text("", "")),
        (Text("已提交的全部记录（A、B 通道）", "all records committed (lanes A, B)"),
         verdict.records, Text("", "")),
        (Text("平台恰好应用一次的记录", "records applied once by the platform"),
         verdict.records_applied_once, Text("", "")),
        (Text("已存储的读数", "readings stored"), verdict.readings, Text("", "")),
        (Text("平台应用的读数", "readings applied by the platform"),
         verdict.readings_applied, Text("", "")),
        (Text("丢失", "lost"), verdict.lost, Text("", "")),
        (Text("重复生效", "duplicates in effect"), verdict.duplicates,
         Text(f"识别出 {verdict.repeats} 条重发", f"{verdict.repeats} repeats were recognised")),
    )  # fmt: skip
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for words, number, note in rows:
        table.add_row("  " + words.in_(lang), str(number), note.in_(lang))
    return table


def _planted(verdict: Verdict, lang: Lang) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(overflow="fold")
    heads = (
        Text("  埋设的报警", "  planted alarm"),
        Text("灯", "lamp"),
        Text("声", "sound"),
        Text("延迟", "delay"),
        Text("记录", "record"),
        Text("应用", "applied"),
    )
    table.add_row(*(head.in_(lang) for head in heads))
    for match in verdict.matches:
        table.add_row(*_row(match))
    return table


def _walked(report: Report, lang: Lang) -> Table:
    """What the patrol left behind, each with its record; and whether a missed round was shown."""
    table = Table.grid(padding=(0, 1))
    table.add_column(overflow="fold")
    heads = (Text("  巡查", "  patrol"), Text("记录", "record"), Text("应用", "applied"))
    table.add_row(*(head.in_(lang) for head in heads))
    for each in report.verdict.found:
        mark = " " if each.sown.must else "*"
        key = "-" if each.key is None else f"{each.key[1]} {each.key[2]}"
        table.add_row(f"{mark} {each.sown.trace}", key, f"{each.applied} ×")
    if not report.missed:
        table.add_row(NO_MISSED.in_(lang))
    elif report.page and not report.is_hidden:
        table.add_row(SHOWN.in_(lang))
    return table


def _row(match: Match) -> tuple[str, ...]:
    onset, raised = match.onset, match.raised
    return (
        f"{'*' if match.sown.is_touched else ' '} {match.sown.plant.rule}",
        LAMP_OF[onset.severity] if onset else "-",
        (onset.sound or "?") if onset else "-",
        f"{(onset.t_ms - match.sown.t_ms) / 1000:.1f} s" if onset else "-",
        f"{raised.key[1]} {raised.key[2]}" if raised else "-",
        f"{match.applied} ×",
    )
