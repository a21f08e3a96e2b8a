"""Queries whose SQL is made once say what peewee's own would, on both databases."""

from collections.abc import Iterator
from decimal import Decimal

import peewee
import pytest
from flask import Flask

from apiary import database


class Comb(peewee.Model):
    """A table with every kind of field that the prepared queries meet."""

    id = peewee.CharField(primary_key=True)
    cells = peewee.IntegerField(default=6)
    weight = peewee.DoubleField(null=True)
    price = peewee.DecimalField(max_digits=20, decimal_places=10, null=True)
    full = peewee.BooleanField(default=False)
    wax = peewee.BlobField(null=True)

    class Meta:
        database = database
        table_name = "comb"


insert = database.prepare_insert(Comb)
by_id = database.prepare(lambda id: Comb.select().where(Comb.id == id))
some = database.prepare(
    lambda least: Comb.select(Comb.id).where(Comb.cells >= least).order_by(Comb.id)
)
grow = database.prepare(
    lambda by, least: Comb.update(cells=Comb.cells + by).where(Comb.cells >= least)
)


@pytest.fixture
def combs(in_app: Flask) -> Iterator[None]:
    database.create_tables([Comb])
    yield
    database.drop_tables([Comb])


@pytest.mark.usefixtures("combs")
def test_what_is_inserted_comes_back_as_peewee_reads_it() -> None:
    full = Comb(
        id="a", cells=7, weight=1.5, price=Decimal("0.0000000001"), full=True, wax=b"\0\xff"
    )
    bare = Comb(id="b")
    for row in (full, bare):
        insert(row)
    for row in (full, bare):
        mine, theirs = by_id.first(id=row.id), Comb.get_by_id(row.id)
        assert mine.__data__.keys() == theirs.__data__.keys()
        for name, value in theirs.__data__.items():
            mine_value = getattr(mine, name)
            if name == "wax" and value is not None:
                value, mine_value = bytes(value), bytes(mine_value)
            assert mine_value == value, name
            assert name == "wax" or type(mine_value) is type(value), name
        assert not mine.is_dirty()
    assert by_id.first(id="a").full is True


@pytest.mark.usefixtures("combs")
def test_places_are_filled_anew_each_time() -> None:
    for number in range(5):
        insert(Comb(id=f"c{number}", cells=number))
    assert [row.id for row in some.rows(least=3)] == ["c3", "c4"]
    assert [row.id for row in some.rows(least=4)] == ["c4"]
    assert some.rows(least=99) == []
    assert by_id.first(id="' OR 1=1 --") is None
    assert grow.execute(by=10, least=3) == 2
    assert grow.execute(by=10, least=99) == 0
    assert Comb.get_by_id("c4").cells == 14
    assert Comb.get_by_id("c0").cells == 0


@pytest.mark.usefixtures("combs")
def test_a_second_row_under_the_same_key_is_refused_as_by_peewee() -> None:
    insert(Comb(id="a"))
    with pytest.raises(peewee.IntegrityError):
        insert(Comb(id="a"))


@pytest.mark.usefixtures("combs")
def test_each_instance_has_defaults_of_its_own() -> None:
    insert(Comb(id="a", cells=1))
    insert(Comb(id="b"))
    assert Comb.get_by_id("b").cells == 6


@pytest.mark.usefixtures("combs")
def test_a_place_that_is_left_out_is_an_error() -> None:
    with pytest.raises(KeyError):
        grow.execute(by=1)
