from apiary_parrot import Parrot

from apiary import Http, Settings
from apiary.testing import ProviderContract


class TestParrot(ProviderContract):
    def make(self, settings: Settings, http: Http, url: str) -> Parrot:
        return Parrot(settings, http, url)
