"""Queries whose SQL is made once: for those few that stand between a question and its answer.

peewee makes the text of a query anew each time, which takes ten times as long as a small query
itself. What a prepared one means is still said in peewee's terms, in one place.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import peewee

#: Fields whose values the drivers give and take as they are.
_PLAIN = (
    peewee.AutoField,
    peewee.CharField,
    peewee.TextField,
    peewee.IntegerField,
    peewee.DoubleField,
    peewee.BlobField,
    peewee.ForeignKeyField,
)


class _Place:
    """Stands in the query for what is given with each call."""

    def __init__(self, name: str) -> None:
        self.name = name


class Prepared:
    """One query with named places.

    :param database: the database, or the proxy of one, that it runs on.
    :param build: makes the query. Its arguments are the places: a value given for one goes to the
        driver as it is, so the caller converts what the driver does not know.
    :param names: the names of the places, where the signature does not tell.
    """

    def __init__(
        self, database: Any, build: Callable[..., Any], names: Iterable[str] | None = None
    ) -> None:
        self._database = database
        self._build = build
        self._names = tuple(names or inspect.signature(build).parameters)
        self._made: dict[type, _Made] = {}

    def rows(self, **values: Any) -> list[Any]:
        """The rows as models, for a query of one model or some of its fields."""
        cursor, made = self._run(values)
        return [made.model(row) for row in cursor.fetchall()]

    def first(self, **values: Any) -> Any | None:
        """The first row as a model, None where there is none."""
        cursor, made = self._run(values)
        row = cursor.fetchone()
        return None if row is None else made.model(row)

    def execute(self, **values: Any) -> int:
        """Run what changes rows, and return how many it changed."""
        changed: int = self._run(values)[0].rowcount
        return changed

    def _run(self, values: dict[str, Any]) -> "tuple[Any, _Made]":
        database = getattr(self._database, "obj", self._database)
        kind = type(database)
        made = self._made.get(kind)
        if made is None:
            # Two threads may make the same one at the same time; either will do.
            made = self._made[kind] = _Made(self._build, self._names)
        given = [values[p.name] if type(p) is _Place else p for p in made.params]
        return database.execute_sql(made.sql, given), made


class PreparedInsert:
    """Inserts a whole row of one model; its defaults are those of the instance."""

    def __init__(self, database: Any, model: type[peewee.Model]) -> None:
        self._fields = model._meta.sorted_fields
        names = [field.name for field in self._fields]
        self._insert = Prepared(database, lambda **places: model.insert(places), names)
        self._convert = [field for field in self._fields if not _plain(field)]

    def __call__(self, row: peewee.Model) -> None:
        values = {field.name: row.__data__.get(field.name) for field in self._fields}
        for field in self._convert:
            values[field.name] = field.db_value(values[field.name])
        self._insert.execute(**values)


class _Made:
    """The text of a query for one kind of database."""

    def __init__(self, build: Callable[..., Any], names: tuple[str, ...]) -> None:
        query = build(**{name: peewee.Value(_Place(name), False) for name in names})
        self.sql, self.params = query.sql()
        self._model: Any = None
        self._names: list[str] = []
        self._convert: list[tuple[str, Callable[[Any], Any]]] = []
        if isinstance(query, peewee.ModelSelect):
            self._model = query.model
            fields: list[Any] = list(query.selected_columns)
            self._names = [field.name for field in fields]
            self._convert = [(f.name, f.python_value) for f in fields if not _plain(f)]

    def model(self, row: tuple[Any, ...]) -> Any:
        found = self._model(__no_default__=True)
        data = dict(zip(self._names, row, strict=True))
        for name, convert in self._convert:
            data[name] = convert(data[name])
        found.__data__ = data
        return found


def _plain(field: Any) -> bool:
    return isinstance(field, _PLAIN)
