"""The raw material of the model list: makers, their models and their price ranges.

Names resemble the real list; prices, dates and sizes are made up from them (see
:mod:`.catalogue`) and say nothing about the real ones.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Models of one maker that resemble each other. Prices are USD per million tokens."""

    author: str
    maker: str
    tokenizer: str
    price: tuple[float, float]
    contexts: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    reasoning: bool
    moderated: bool
    slugs: str


def families() -> list[Family]:
    """Read the table below."""
    found: list[Family] = []
    # A family begins at the margin; its names are indented.
    for block in _TABLE.strip().replace("\n    ", " \t").splitlines():
        head, _, slugs = block.partition(" \t")
        author, maker, tokenizer, price, contexts, inout, *marks = head.split(" | ")
        inputs, outputs = inout.split(" > ")
        low, high = map(float, price.split())
        found.append(
            Family(
                author=author,
                maker=maker,
                tokenizer=tokenizer,
                price=(low, high),
                contexts=tuple(map(int, contexts.split())),
                inputs=tuple(inputs.split()),
                outputs=tuple(outputs.split()),
                reasoning="reasoning" in marks[0] if marks else False,
                moderated="moderated" in marks[0] if marks else False,
                slugs=slugs,
            )
        )
    return found


# maker's id | maker | tokenizer | lowest and highest price | contexts | inputs > outputs | marks
#     names, where {a,b} stands for two
_TABLE = """
openai | OpenAI | GPT | 0.05 15 | 400000 1048576 | text image file > text | reasoning moderated
    gpt-5{,-mini,-nano,-pro,-codex} gpt-5.1{,-chat,-codex,-codex-mini} gpt-5.2{,-pro,-chat} o1
    o1-pro o3{,-mini,-mini-high,-pro,-deep-research} o4-mini{,-high,-deep-research}
openai | OpenAI | GPT | 0.1 10 | 131072 200000 262144 | text image file > text | moderated
    gpt-4.1{,-mini,-nano}
    gpt-4o{,-2024-05-13,-2024-08-06,-2024-11-20,-mini,-mini-search-preview,-search-preview}
    chatgpt-4o-latest gpt-4{,-turbo,-turbo-preview,-0314,-1106-preview}
    gpt-3.5-turbo{,-0613,-16k,-instruct}
openai | OpenAI | GPT | 2 10 | 131072 200000 262144 | text image file audio > text image | moderated
    gpt-5-image{,-mini} gpt-4o-audio-preview
openai | OpenAI | GPT | 0.03 0.2 | 131072 | text > text | reasoning
    gpt-oss-{20b,120b,20b:free,safeguard-20b}
anthropic | Anthropic | Claude | 0.8 15 | 200000 | text image file > text | reasoning moderated
    claude-{haiku,sonnet,opus}-4.5 claude-opus-4{,.1} claude-sonnet-4
    claude-3.7-sonnet{,:thinking}
anthropic | Anthropic | Claude | 0.25 15 | 200000 | text image file > text | moderated
    claude-3.5-{haiku,haiku-20241022,sonnet,sonnet-20240620} claude-3-{haiku,opus,sonnet}
google | Google | Gemini | 0.1 2.5 | 1048576 | text image file audio video > text | reasoning
    gemini-3-{flash,pro}-preview
    gemini-2.5-{pro,pro-preview,pro-preview-05-06} gemini-2.5-flash{,-lite}
    gemini-2.5-{flash,flash-lite}-preview-09-2025
google | Google | Gemini | 0.07 2 | 32768 1048576 | text image file > text image
    gemini-2.0-flash-{001,lite-001,exp:free} gemini-2.5-flash-image{,-preview}
    gemini-3-pro-image-preview
google | Google | Gemma | 0.02 0.7 | 32768 65536 131072 | text image > text
    gemma-3-{4b,12b,27b}-it gemma-3-27b-it:free gemma-3n-{e2b-it:free,e4b-it}
    gemma-2-{9b,27b}-it
meta-llama | Meta | Llama3 | 0.02 3.5 | 32768 65536 131072 | text > text
    llama-3.3-{70b-instruct,70b-instruct:free,8b-instruct}
    llama-3.2-{1b,3b,11b-vision,90b-vision}-instruct llama-3.1-{8b,70b,405b}-instruct
    llama-3.1-405b llama-3-{8b,70b}-instruct llama-guard-{2-8b,3-8b,4-12b}
meta-llama | Meta | Llama4 | 0.08 0.3 | 400000 1000000 1048576 | text image > text
    llama-4-{scout,maverick}
mistralai | Mistral | Mistral | 0.02 4 | 32768 65536 131072 | text > text
    mistral-{large,large-2407,large-2411,large-2512,medium-3,medium-3.1,small,tiny,saba,nemo}
    mistral-7b-instruct{,:free,-v0.1,-v0.2,-v0.3}
    mistral-small-{24b-instruct-2501,3.1-24b-instruct,3.1-24b-instruct:free,3.2-24b-instruct}
    codestral-{2501,2508} devstral-{medium,small,small-2505,2512,2512:free}
    ministral-{3b,8b,14b}{,-2512} mixtral-8x{7b,22b}-instruct pixtral-{12b,large-2411}
    voxtral-small-24b-2507
mistralai | Mistral | Mistral | 0.5 2 | 40960 | text > text | reasoning
    magistral-{small,medium}-2506{,:thinking}
deepseek | DeepSeek | DeepSeek | 0.03 1 | 65536 131072 163840 | text > text | reasoning
    deepseek-r1{,-0528,-0528:free,-0528-qwen3-8b}
    deepseek-r1-distill-{llama-70b,qwen-14b,qwen-32b}
    deepseek-v3.1-terminus{,:exacto} deepseek-chat{,-v3-0324,-v3-0324:free,-v3.1}
    deepseek-v3.2{,-exp,-speciale} deepseek-prover-v2
qwen | Qwen | Qwen3 | 0.03 1.2 | 131072 200000 262144 | text > text | reasoning
    qwen3-{4b:free,8b,14b,30b-a3b,32b,235b-a22b,235b-a22b:free}
    qwen3-{30b-a3b,235b-a22b}-{instruct,thinking}-2507 qwen3-next-80b-a3b-{instruct,thinking}
    qwen3-vl-{8b,30b-a3b,235b-a22b}-{instruct,thinking}
    qwen3-{max,coder,coder:free,coder-plus,coder-flash,coder-30b-a3b-instruct}
qwen | Qwen | Qwen | 0.03 1.6 | 32768 65536 131072 | text > text
    qwen-{max,plus,plus-2025-07-28,turbo,vl-max,vl-plus} qwen-2.5-{7b,72b}-instruct
    qwen-2.5-72b-instruct:free qwen-2.5-coder-32b-instruct
    qwen2.5-{coder-7b-instruct,vl-32b-instruct,vl-72b-instruct} qwq-32b
x-ai | xAI | Grok | 0.2 3 | 131072 256000 2000000 | text image > text | reasoning
    grok-4{,-fast,.1-fast} grok-3{,-beta,-mini,-mini-beta} grok-code-fast-1
amazon | Amazon | Nova | 0.03 2.5 | 128000 300000 1000000 | text image > text
    nova-{micro,lite,pro}-v1 nova-premier-v1 nova-2-lite-v1
cohere | Cohere | Cohere | 0.04 2.5 | 128000 256000 | text > text
    command-{a,r-08-2024,r-plus-08-2024,r7b-12-2024}
microsoft | Microsoft | Other | 0.05 1 | 8192 16384 32768 | text > text
    phi-4{,-multimodal-instruct,-reasoning-plus} phi-3-{mini,medium}-128k-instruct
    phi-3.5-mini-128k-instruct wizardlm-2-8x22b mai-ds-r1
nvidia | NVIDIA | Llama3 | 0.04 1.2 | 131072 200000 262144 | text > text | reasoning
    llama-3.1-nemotron-{70b-instruct,ultra-253b-v1} llama-3.3-nemotron-super-49b-v1.5
    nemotron-nano-{9b-v2,9b-v2:free,12b-v2-vl} nemotron-3-nano-30b-a3b{,:free}
z-ai | Z.AI | Other | 0.1 0.6 | 131072 200000 262144 | text > text | reasoning
    glm-4{.5,.5-air,.5-air:free,.5v,.6,.6:exacto,.6v,.7,-32b}
moonshotai | MoonshotAI | Other | 0.3 0.6 | 131072 200000 262144 | text > text
    kimi-k2{,:free,-0905,-0905:exacto,-thinking} kimi-dev-72b kimi-linear-48b-a3b-instruct
minimax | MiniMax | Other | 0.2 0.5 | 400000 1000000 1048576 | text > text | reasoning
    minimax-{01,m1,m2,m2.1}
perplexity | Perplexity | Other | 1 3 | 127072 200000 | text > text
    sonar{,-pro,-pro-search,-reasoning,-reasoning-pro,-deep-research}
nousresearch | Nous | Llama3 | 0.02 1 | 32768 65536 131072 | text > text
    hermes-4-{70b,405b} hermes-3-llama-3.1-{70b,405b} hermes-2-pro-llama-3-8b
    deephermes-3-mistral-24b-preview
baidu | Baidu | Other | 0.05 0.5 | 32768 65536 131072 | text > text
    ernie-4.5-{21b-a3b,21b-a3b-thinking,300b-a47b,vl-28b-a3b,vl-424b-a47b}
tencent | Tencent | Other | 0.1 0.2 | 32768 65536 131072 | text > text
    hunyuan-a13b-instruct
bytedance-seed | ByteDance Seed | Other | 0.07 0.3 | 131072 200000 262144 | text image video > text
    seed-1.6{,-flash} seed-oss-36b-instruct
arcee-ai | Arcee AI | Other | 0.04 0.9 | 32768 65536 131072 | text > text
    trinity-mini{,:free} coder-large maestro-reasoning spotlight virtuoso-large afm-4.5b
allenai | AllenAI | Other | 0.05 0.3 | 32768 65536 131072 | text > text
    olmo-{2-0325-32b-instruct,3-7b-instruct,3-7b-think,3-32b-think,3.1-32b-think:free}
ai21 | AI21 | Other | 0.2 2 | 256000 | text > text
    jamba-{large,mini}-1.7
inception | Inception | Other | 0.25 0.25 | 128000 | text > text
    mercury{,-coder}
inflection | Inflection | Other | 2.5 2.5 | 8000 | text > text
    inflection-3-{pi,productivity}
liquid | LiquidAI | Other | 0.01 0.05 | 8192 16384 32768 | text > text
    lfm-2.2-6b lfm2-8b-a1b lfm-7b
ibm-granite | IBM | Other | 0.02 0.02 | 131000 | text > text
    granite-4.0-h-micro
thedrummer | TheDrummer | Other | 0.2 0.8 | 8192 16384 32768 | text > text
    anubis-70b-v1.1 cydonia-24b-v4.1 rocinante-12b skyfall-36b-v2 unslopnemo-12b
sao10k | Sao10K | Llama3 | 0.04 3 | 8192 16384 32768 | text > text
    l3-{euryale-70b,lunaris-8b} l3.1-{70b-hanami-x1,euryale-70b} l3.3-euryale-70b
neversleep | NeverSleep | Llama3 | 0.1 1 | 8192 16384 32768 | text > text
    llama-3.1-lumimaid-8b noromaid-20b
aion-labs | AionLabs | Other | 0.2 4 | 32768 65536 131072 | text > text | reasoning
    aion-{1.0,1.0-mini,rp-llama-3.1-8b}
deepcogito | Deep Cogito | Llama3 | 0.2 3.5 | 32768 65536 131072 | text > text | reasoning
    cogito-v2-preview-{deepseek-671b,llama-70b,llama-109b-moe,llama-405b} cogito-v2.1-671b
stepfun-ai | StepFun | Other | 0.6 0.6 | 65536 | text image > text
    step3
xiaomi | Xiaomi | Other | 0.1 0.1 | 262144 | text > text | reasoning
    mimo-v2-flash{,:free}
kwaipilot | Kwaipilot | Other | 0.2 0.2 | 256000 | text > text
    kat-coder-pro
alibaba | Alibaba | Other | 0.09 0.09 | 131072 | text > text
    tongyi-deepresearch-30b-a3b
opengvlab | OpenGVLab | Other | 0.1 0.1 | 32768 | text image > text
    internvl3-78b
switchpoint | Switchpoint | Other | 0.85 0.85 | 131072 | text > text
    router
relace | Relace | Other | 0.85 1 | 256000 | text > text
    relace-{apply-3,search}
morph | Morph | Other | 0.8 0.9 | 81920 262144 | text > text
    morph-v3-{fast,large}
gryphe | Gryphe | Llama2 | 0.06 0.06 | 4096 | text > text
    mythomax-l2-13b
undi95 | Undi95 | Llama2 | 0.45 0.45 | 6144 | text > text
    remm-slerp-l2-13b
mancer | Mancer | Llama2 | 0.75 0.75 | 8000 | text > text
    weaver
alpindale | Alpindale | Llama2 | 6 6 | 6144 | text > text
    goliath-120b
raifle | Raifle | Other | 4.5 4.5 | 16000 | text > text
    sorcererlm-8x22b
anthracite-org | Anthracite | Qwen | 3 3 | 16384 | text > text
    magnum-v4-72b
"""

# Latest-aliases begin with a tilde; their target is in the list.
ALIASES = {
    "~anthropic/claude-haiku-latest": "anthropic/claude-haiku-4.5",
    "~anthropic/claude-sonnet-latest": "anthropic/claude-sonnet-4.5",
    "~anthropic/claude-opus-latest": "anthropic/claude-opus-4.5",
    "~openai/gpt-latest": "openai/gpt-5.2",
    "~openai/gpt-mini-latest": "openai/gpt-5-mini",
    "~google/gemini-pro-latest": "google/gemini-3-pro-preview",
    "~google/gemini-flash-latest": "google/gemini-3-flash-preview",
    "~moonshotai/kimi-latest": "moonshotai/kimi-k2-thinking",
}
ROUTERS = {
    "openrouter/auto": "Auto Router",
    "openrouter/pareto-code": "Pareto Code Router",
    "openrouter/bodybuilder": "Body Builder",
}
# Priced 0 without the :free suffix.
GIVEN_AWAY = {
    "openrouter/free": "Free Models Router",
    "openrouter/hive-alpha": "Hive Alpha",
    "openrouter/meadow-beta": "Meadow Beta",
    "openrouter/clover-alpha": "Clover Alpha",
}
