"""Apiary: every user of a Flask app brings their own model.

from apiary import Apiary
Apiary(app)
"""

from ._assets import STATIC as STATIC
from ._assets import TEMPLATES as TEMPLATES
from .client import Answer as Answer
from .client import BeforeSend as BeforeSend
from .client import Catalogue as Catalogue
from .client import Messages as Messages
from .config import VARIABLES as VARIABLES
from .config import Endpoint as Endpoint
from .config import Settings as Settings
from .config import Variable as Variable
from .config import flag as flag
from .crypto import generated_secret as generated_secret
from .db import database as database
from .errors import ApiaryError as ApiaryError
from .errors import ConfigError as ConfigError
from .errors import DatabaseDown as DatabaseDown
from .errors import EndpointRefused as EndpointRefused
from .errors import Forbidden as Forbidden
from .errors import KeyRejected as KeyRejected
from .errors import KeyUnreadable as KeyUnreadable
from .errors import ModelGone as ModelGone
from .errors import NotConnected as NotConnected
from .errors import OutOfCredit as OutOfCredit
from .errors import ProviderDown as ProviderDown
from .errors import RateLimited as RateLimited
from .errors import RequestRefused as RequestRefused
from .extension import Apiary as Apiary
from .extension import Owner as Owner
from .findings import Check as Check
from .http import Http as Http
from .oauth.connect import AuthServer as AuthServer
from .oauth.connect import ExchangeLost as ExchangeLost
from .oauth.connect import ExchangeRefused as ExchangeRefused
from .oauth.connect import Grant as Grant
from .providers.base import ChatRequest as ChatRequest
from .providers.base import Delta as Delta
from .providers.base import Done as Done
from .providers.base import Event as Event
from .providers.base import Facts as Facts
from .providers.base import Model as Model
from .providers.base import Pause as Pause
from .providers.base import Provider as Provider
from .providers.base import Reasoning as Reasoning
from .providers.base import Stream as Stream
from .providers.base import Usage as Usage
from .providers.compatible import Compatible as Compatible
from .replies import Reply as Reply
from .secret import Secret as Secret
from .signals import attempt_ended as attempt_ended
from .signals import connected as connected
from .signals import disconnected as disconnected
from .signals import rejected as rejected
from .translation import localized as localized
from .vault import Connection as Connection

__all__ = [
    "STATIC",
    "TEMPLATES",
    "VARIABLES",
    "Answer",
    "Apiary",
    "ApiaryError",
    "AuthServer",
    "BeforeSend",
    "Catalogue",
    "ChatRequest",
    "Check",
    "Compatible",
    "ConfigError",
    "Connection",
    "DatabaseDown",
    "Delta",
    "Done",
    "Endpoint",
    "EndpointRefused",
    "Event",
    "ExchangeLost",
    "ExchangeRefused",
    "Facts",
    "Forbidden",
    "Grant",
    "Http",
    "KeyRejected",
    "KeyUnreadable",
    "Messages",
    "Model",
    "ModelGone",
    "NotConnected",
    "OutOfCredit",
    "Owner",
    "Pause",
    "Provider",
    "ProviderDown",
    "RateLimited",
    "Reasoning",
    "Reply",
    "RequestRefused",
    "Secret",
    "Settings",
    "Stream",
    "Usage",
    "Variable",
    "attempt_ended",
    "connected",
    "database",
    "disconnected",
    "flag",
    "generated_secret",
    "localized",
    "rejected",
]
