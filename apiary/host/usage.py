"""What answers used: by day, by model, by provider. What is unknown stays unknown."""

import csv
import io
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from peewee import fn

from . import payers
from .language import amount, cost, gettext, number
from .tables import Conversation, Message, Spent

PERIODS = (7, 30, 90)
_DAY = 86400
_COLUMNS = (
    "day provider model payer answers prompt_tokens completion_tokens"
    " answers_without_tokens cost_usd answers_without_cost"
)


@dataclass(frozen=True, slots=True)
class Line:
    """Answers of one day, model and payer. ``cost`` is in USD; ``unpriced`` counts the answers
    whose cost the provider did not tell, ``uncounted`` those whose tokens it did not."""

    day: date
    provider: str
    model: str
    payer: str
    answers: int
    prompt_tokens: int
    completion_tokens: int
    uncounted: int
    cost: Decimal
    unpriced: int


@dataclass(slots=True)
class Total:
    """Several lines added up. What the operator paid for is counted apart."""

    name: str
    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0
    builtin: int = 0

    def add(self, line: Line) -> None:
        self.answers += line.answers
        self.prompt_tokens += line.prompt_tokens
        self.completion_tokens += line.completion_tokens
        self.uncounted += line.uncounted
        if line.payer == "builtin":
            self.builtin += line.answers
        else:
            self.cost += line.cost
            self.unpriced += line.unpriced

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def spent(self) -> str:
        """The cost in words, that a part of it is unknown included."""
        paying = self.answers - self.builtin
        if paying == 0:
            return gettext("paid by this site") if self.builtin else "–"
        if self.unpriced >= paying:
            return gettext("unknown")
        return _with_unknown(dollars(self.cost), self.unpriced)

    @property
    def used(self) -> str:
        """The tokens in words."""
        if self.answers and self.uncounted >= self.answers:
            return gettext("unknown")
        return _with_unknown(number(self.tokens), self.uncounted)

    @property
    def vague(self) -> Mapping[str, bool]:
        """Whether a part of what these words tell is unknown, by their name."""
        paying = self.answers - self.builtin
        return {
            "spent": bool(paying and self.unpriced),
            "used": bool(self.answers and self.uncounted),
        }


@dataclass(frozen=True, slots=True)
class Usage:
    days: list[Total]
    models: list[Total]
    providers: list[Total]
    all: Total


def lines(owner: str, days: int) -> list[Line]:
    """What the last days held, today included; days are UTC."""
    start = (int(time.time()) // _DAY - days + 1) * _DAY
    mine = Conversation.select(Conversation.id).where(Conversation.owner == owner)
    told = (
        (Message.state == "complete")
        | Message.cost.is_null(False)
        | Message.prompt_tokens.is_null(False)
        | Message.completion_tokens.is_null(False)
    )
    kept = _grouped(Message, start).where(
        Message.conversation.in_(mine), Message.payer.is_null(False), told
    )
    gone = _grouped(Spent, start).where(Spent.owner == owner)
    found = [_line(row) for query in (kept, gone) for row in query.tuples()]
    return sorted(found, key=lambda line: (line.day, line.provider, line.model))


def _grouped(table: Any, start: int) -> Any:
    day = (table.created.cast("BIGINT") / _DAY).alias("day")
    by = (table.provider, table.model, table.payer)
    return (
        table.select(
            day,
            *by,
            fn.COUNT(1),
            fn.SUM(table.prompt_tokens),
            fn.SUM(table.completion_tokens),
            fn.COUNT(table.prompt_tokens),
            fn.SUM(table.cost).coerce(False),
            fn.COUNT(table.cost),
        )
        .where(table.created >= start)
        .group_by(day, *by)
    )


def _line(row: Sequence[Any]) -> Line:
    day, provider, model, payer, answers, prompt, completion, counted, cost, priced = row
    return Line(
        day=datetime.fromtimestamp(int(day) * _DAY, UTC).date(),
        provider=provider or "",
        model=model or "",
        payer=payer or "",
        answers=answers,
        prompt_tokens=int(prompt or 0),
        completion_tokens=int(completion or 0),
        uncounted=answers - counted,
        cost=Decimal(str(cost or 0)),
        unpriced=answers - priced,
    )


def summary(found: Sequence[Line], days: int) -> Usage:
    """The lines added up for the page; each day has its place, also an empty one."""
    today = datetime.now(UTC).date()
    by_day = {
        day: Total(day.isoformat())
        for day in (today - timedelta(days=days - 1 - n) for n in range(days))
    }
    everything = Total("All")
    for line in found:
        everything.add(line)
        by_day.setdefault(line.day, Total(line.day.isoformat())).add(line)
    return Usage(
        days=[total for _, total in sorted(by_day.items())],
        models=_by(found, lambda line: line.model or gettext("unknown")),
        providers=_by(found, lambda line: payers.label_of(line.provider)),
        all=everything,
    )


def _by(found: Iterable[Line], name: Callable[[Line], str]) -> list[Total]:
    totals: dict[str, Total] = {}
    for line in found:
        totals.setdefault(name(line), Total(name(line))).add(line)
    return sorted(totals.values(), key=lambda total: (-total.cost, -total.tokens, total.name))


def dollars(value: Decimal) -> str:
    """An amount to read: no false zero for a small one."""
    return cost(value) if value < 1 else amount(value, 2)


def _with_unknown(known: str, more: int) -> str:
    return gettext("%(known)s + unknown", known=known) if more else known


def as_csv(found: Iterable[Line]) -> str:
    """A table for a spreadsheet. An empty cell is unknown; no cell is a formula."""
    file = io.StringIO()
    out = csv.writer(file)
    out.writerow(_COLUMNS.split())
    for line in found:
        row: list[object] = [line.day.isoformat(), line.provider, line.model or "unknown"]
        row.append(line.payer)
        known = line.answers > line.uncounted
        row += [
            line.answers,
            *([line.prompt_tokens, line.completion_tokens] if known else ["", ""]),
        ]
        row += [line.uncounted, f"{line.cost:f}" if line.answers > line.unpriced else ""]
        out.writerow([_inert(cell) for cell in [*row, line.unpriced]])
    return file.getvalue()


#: Before what begins like a formula, at the start of a cell or of what may become one.
_FORMULA = re.compile(r"\A(?=[=+\-@\t\r\n])|(?<=[;,\t])(?=[=+\-@])")


def _inert(cell: object) -> object:
    """Spreadsheets run what begins like a formula.

    Some take a semicolon or a tab for the end of a cell, whatever the file takes for it.
    """
    return _FORMULA.sub("'", cell) if isinstance(cell, str) else cell
