"""The tables of the chat app as its migrations leave them."""

from itertools import permutations

from apiary import database


def test_no_index_is_the_beginning_of_another(host):
    """It would be written with each row, and be of no use."""
    useless = []
    with host.app_context(), database.connection_context():
        for table in database.get_tables():
            indexes = [
                index
                for index in database.get_indexes(table)
                if index.columns and " WHERE " not in (index.sql or "").upper()
            ]
            assert all(index.table == table for index in indexes)
            useless += [
                one.name
                for one, other in permutations(indexes, 2)
                if not one.unique and other.columns[: len(one.columns)] == one.columns
            ]
    assert not useless
