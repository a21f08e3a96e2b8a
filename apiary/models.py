"""The plug-in's tables. An owner's id is text, compared byte for byte."""

import peewee

from .db import database


class _Table(peewee.Model):
    class Meta:
        database = database
        legacy_table_names = False


class StoredConnection(_Table):
    """One owner's credential at one provider, or what is left of it after a disconnect.

    After a disconnect the row stays without its key: the version must go on growing, and the
    receipt has to name the key that still exists at the provider.
    """

    id = peewee.AutoField()
    owner = peewee.CharField()
    provider = peewee.CharField()
    #: Grows with every change that a page has to notice.
    version = peewee.IntegerField(default=1)
    #: "connected", "rejected" (the provider answered 401) or "none" (disconnected).
    state = peewee.CharField()
    #: "oauth" or "key".
    source = peewee.CharField()
    #: The origin that the key is bound to and sent to.
    origin = peewee.CharField()
    #: The address that an endpoint is asked at, "" for a provider with an address of its own.
    base_url = peewee.CharField(default="")
    kid = peewee.CharField(null=True)
    iv = peewee.BlobField(null=True)
    sealed = peewee.BlobField(null=True)
    #: Names the key in the address of its page at OpenRouter. It is not shown to anybody else.
    key_sha256 = peewee.CharField(default="")
    #: What may be shown of the key.
    masked = peewee.CharField(default="")
    #: The provider's id of the account, "" when unknown.
    account = peewee.CharField(default="")
    #: What the provider told about the key, as JSON, and when (Unix seconds, 0 = never).
    facts = peewee.TextField(default="{}")
    checked = peewee.DoubleField(default=0)
    #: Unix seconds.
    since = peewee.DoubleField()
    #: After a disconnect: the provider had refused the key before, so nothing is left there.
    refused = peewee.BooleanField(default=False)

    class Meta:
        table_name = "apiary_connection"
        indexes = ((("owner", "provider"), True), (("kid", "iv"), True))


class StoredFlow(_Table):
    """One attempt to connect by OAuth. The flow id itself is not stored, only its hash."""

    id = peewee.AutoField()
    flow_sha256 = peewee.CharField(unique=True, null=True)
    #: Made up by the page; names the attempt to its owner.
    attempt = peewee.CharField()
    owner = peewee.CharField()
    provider = peewee.CharField()
    #: Hash of the mark in the browser's session: which browser, and which login in it.
    browser = peewee.CharField()
    #: S256 of the verifier in the browser's cookie.
    challenge = peewee.CharField()
    #: "popup", "page" or "code".
    display = peewee.CharField()
    #: Where the full-page way leads back to: "settings" or "home".
    back = peewee.CharField()
    state = peewee.CharField()
    message = peewee.TextField(default="")
    #: Unix seconds by the server's clock.
    started = peewee.DoubleField(index=True)
    taken = peewee.DoubleField(default=0)
    ended = peewee.DoubleField(default=0)
    #: A key of another account than before, sealed, until the owner has answered.
    held_kid = peewee.CharField(null=True)
    held_iv = peewee.BlobField(null=True)
    held_sealed = peewee.BlobField(null=True)
    held_account = peewee.CharField(default="")

    class Meta:
        table_name = "apiary_flow"
        indexes = ((("owner", "attempt"), True),)


class StoredCanary(_Table):
    """A known text sealed with each key that a process has encrypted with.

    A process whose key ring lacks one of them is told at its start, before a user meets it.
    """

    kid = peewee.CharField(primary_key=True)
    iv = peewee.BlobField()
    sealed = peewee.BlobField()
    #: Unix seconds.
    since = peewee.DoubleField()

    class Meta:
        table_name = "apiary_canary"


TABLES = (StoredConnection, StoredFlow, StoredCanary)
