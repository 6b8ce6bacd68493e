"""The sheet on paper: one HTML file for A4, without scripts and without anything from elsewhere."""

from collections.abc import Iterator, Sequence
from html import escape

from gateway.cli.sheet_tables import (
    Table,
    ends_of,
    house_tables,
    made_at,
    notes_of,
    overview,
    quiet,
    tables_of,
)
from gateway.cli.sheet_words import TITLES, WORDS, Voice
from gateway.domain.sheet import Sheet, Span

STYLE = """
@page { size: A4 landscape; margin: 12mm; }
* { box-sizing: border-box; }
body { font: 9.5pt/1.4 "Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", sans-serif;
  color: #000; margin: 0 auto; max-width: 273mm; padding: 4mm 0; }
h1 { font-size: 17pt; margin: 0; }
h2 { font-size: 13pt; margin: 7mm 0 1mm; border-bottom: 1.5pt solid #000; break-after: avoid; }
h3 { font-size: 10.5pt; margin: 4mm 0 1mm; break-after: avoid; }
p { margin: 1mm 0; }
table { border-collapse: collapse; width: 100%; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
th, td { border: .5pt solid #555; padding: .7mm 1.5mm; text-align: left; vertical-align: top;
  overflow-wrap: break-word; }
th { background: #eee; font-weight: 600; }
.overview th { width: 32mm; }
.quiet { font-size: 11pt; border: 1pt solid #000; padding: 2mm; }
.none { margin-top: 3mm; }
.notes { color: #333; }
.ends { font-family: monospace; font-size: 7.5pt; overflow-wrap: anywhere; }
.sign { margin: 8mm 0 3mm; font-size: 11pt; break-inside: avoid; }
footer { border-top: .5pt solid #555; font-size: 8pt; }
"""


def page_of(sheet: Sheet, voice: Voice, *, software: str) -> str:
    """The whole file."""
    return "\n".join(_lines(sheet, voice, software)) + "\n"


def heading(sheet: Sheet, voice: Voice) -> str:
    """Whose sheet of when: `榆园养老院 消防安全日报表 2026-11-22`."""
    period = sheet.period
    when = f"{period.first:%Y-%m-%d}" if period.span is Span.DAY else f"{period.first:%Y-%m}"
    return " ".join(each for each in (sheet.name, voice(TITLES[period.span]), when) if each)


def _lines(sheet: Sheet, voice: Voice, software: str) -> Iterator[str]:
    title = escape(heading(sheet, voice))
    yield "<!DOCTYPE html>"
    yield f'<html lang="{"zh-CN" if voice.lang.value == "zh" else "en"}">'
    yield f'<head><meta charset="utf-8"/><title>{title}</title><style>{STYLE}</style></head>'
    yield f"<body><h1>{title}</h1>"
    made = f"{voice(WORDS['made'])} {voice.clock(made_at(sheet), '%Y-%m-%d %H:%M')}"
    days = f"{voice(WORDS['period'])} {sheet.period.first} – {sheet.period.last}"
    head = " · ".join(each for each in (sheet.site, days, f"{made} ({sheet.zone})") if each)
    yield f"<p>{escape(head)}</p>"
    for note in notes_of(sheet, voice, is_named=bool(voice.names)):
        yield f'<p class="notes">{escape(note)}</p>'
    yield from _overview(sheet, voice)
    for section in sheet.sections:
        if len(sheet.sections) > 1:
            yield f"<h2>{escape(section.name or voice(WORDS['whole_house']))}</h2>"
        yield from _tables(list(tables_of(section, voice)))
    if len(sheet.sections) > 1:
        yield f"<h2>{escape(voice(WORDS['house']))}</h2>"
    yield from _tables(list(house_tables(sheet, voice)))
    yield from _end(sheet, voice, software)


def _overview(sheet: Sheet, voice: Voice) -> Iterator[str]:
    if said := quiet(sheet, voice):
        yield f'<p class="quiet">{escape(said)}</p>'
    yield f'<h3>{escape(voice(WORDS["overview"]))}</h3><table class="overview"><tbody>'
    for name, figure in overview(sheet, voice):
        yield f"<tr><th>{escape(name)}</th><td>{escape(figure)}</td></tr>"
    yield "</tbody></table>"
    watched = sheet.watched
    if watched is not None and (watched.missing or watched.unjudged):
        missing = [*(voice(words) for words in watched.missing), *watched.unjudged]
        yield f"<p>{escape(voice(WORDS['not_watched']))}: {escape(' · '.join(missing))}</p>"


def _tables(tables: Sequence[Table]) -> Iterator[str]:
    """Those with rows; what there was nothing of, in one paragraph: it was looked at."""
    for table in tables:
        if table.rows:
            yield from _table(table)
    none = " ".join(table.none for table in tables if not table.rows)
    if none:
        yield f'<p class="none">{escape(none)}</p>'


def _table(table: Table) -> Iterator[str]:
    yield f"<h3>{escape(table.title)}</h3>"
    yield "<table><thead><tr>"
    yield "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    yield "</tr></thead><tbody>"
    for row in table.rows:
        yield "<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>"
    yield "</tbody></table>"


def _cell(text: str) -> str:
    return "<br/>".join(escape(line) for line in text.split("\n"))


def _end(sheet: Sheet, voice: Voice, software: str) -> Iterator[str]:
    yield f'<p class="ends">{_cell(ends_of(sheet, voice))}</p>'
    yield f'<p class="sign">{escape(voice(WORDS["sign"]))}</p>'
    yield f"<footer>{escape(voice(WORDS['foot']))} · care-gateway {escape(software)}</footer>"
    yield "</body></html>"
