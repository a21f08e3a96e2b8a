"""Tables for servers that a test starts."""

from collections.abc import Mapping

from apiary.host import create_app


def upgrade(environ: Mapping[str, str]) -> None:
    """What ``flask apiary upgrade`` does, without the second that a process takes to begin.

    :param environ: the settings of the server, among other things.
    """
    ours = {
        name: value
        for name, value in environ.items()
        if name.startswith(("APIARY_", "OPENROUTER_OAUTH")) and name != "APIARY_REDIS_URL"
    }
    app = create_app({"TESTING": True} | ours)
    done = app.test_cli_runner().invoke(args=["apiary", "upgrade"])
    assert done.exit_code == 0, done.output
    app.extensions["apiary"].http.dispose()
    app.extensions["apiary"].database.close_all()
