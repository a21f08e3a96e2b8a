"""OpenAI's and Anthropic's own clients against the doubles that our providers are tested with.

What these strict clients accept is near enough to the real wire; a double that only our own
parser understands would prove nothing.
"""

import anthropic
import openai
import pytest

from tests.conftest import LiveSandbox
from tests.providers.wires import COMPLETION, GOOD, PROMPT, TEXT, Wire
from tests.servers import serve

pytestmark = [
    # The clients' own models are built with what pydantic calls deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
QUESTION = [{"role": "user", "content": "Hello bees"}]


def ask(client: openai.OpenAI, model: str) -> tuple[str, object]:
    text, usage = "", None
    with client.chat.completions.create(
        model=model, messages=QUESTION, stream=True, stream_options={"include_usage": True}
    ) as stream:
        for chunk in stream:
            usage = chunk.usage or usage
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
    return text, usage


def test_openai_s_client_reads_the_sandbox(sandbox: LiveSandbox, paste_key: str) -> None:
    with openai.OpenAI(
        api_key=paste_key, base_url=f"{sandbox.url}/api/v1", max_retries=0
    ) as client:
        text, usage = ask(client, "sandbox/echo")
        assert text == "Hello bees" and usage.total_tokens > 0
        assert len(list(client.models.list())) > 300
        with pytest.raises(openai.APIStatusError) as caught:
            ask(client, "sandbox/error-402")
        assert caught.value.status_code == 402
        with pytest.raises(openai.APIError):
            ask(client, "sandbox/mid-error")
        with pytest.raises(openai.RateLimitError):
            ask(client, "sandbox/error-429")


@pytest.mark.parametrize("form", ["openai", "endpoint"])
def test_openai_s_client_reads_the_openai_double(form: str) -> None:
    with (
        serve(Wire(form)) as url,
        openai.OpenAI(api_key=GOOD, base_url=f"{url}/v1", max_retries=0) as client,
    ):
        text, usage = ask(client, "good")
        assert text == TEXT
        assert (usage.prompt_tokens, usage.completion_tokens) == (PROMPT, COMPLETION)
        with pytest.raises(openai.APIStatusError):
            ask(client, "status-500")


def test_anthropic_s_client_reads_the_anthropic_double() -> None:
    with (
        serve(Wire("anthropic")) as url,
        anthropic.Anthropic(
            api_key=GOOD,
            base_url=url,
            max_retries=0,
            # Today's client sends its key as a bearer; the double checks the header that we send.
            default_headers={"x-api-key": GOOD},
        ) as client,
    ):
        text = ""
        with client.messages.stream(model="good", max_tokens=64, messages=QUESTION) as stream:
            for piece in stream.text_stream:
                text += piece
            message = stream.get_final_message()
        assert text == TEXT
        # One of the tokens was read from a cache, which Anthropic counts apart.
        assert message.usage.input_tokens == PROMPT - 1 and message.stop_reason == "end_turn"
        with pytest.raises(anthropic.APIStatusError):
            client.messages.create(model="status-500", max_tokens=64, messages=QUESTION)
