"""Parrot as a provider of Apiary. Its servers speak OpenAI's wire form."""

from apiary import Compatible, Http, Settings


class Parrot(Compatible):
    name = "parrot"
    label = "Parrot"
    key_prefixes = ("parrot-",)
    keys_url = "https://parrot.example/keys"

    def __init__(
        self, settings: Settings, http: Http, url: str = "https://api.parrot.example"
    ) -> None:
        super().__init__(settings, http, f"{url}/v1")
