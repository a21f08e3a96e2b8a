"""The raw material of the model list: makers, their models and their price ranges.

Names resemble the real list; prices, dates and sizes are made up from them (see
:mod:`.catalogue`) and say nothing about the real ones. ``{a,b}`` stands for two names.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Models of one maker that resemble each other. Prices are USD per million tokens."""

    author: str
    maker: str
    tokenizer: str
    slugs: str
    price: tuple[float, float]
    contexts: tuple[int, ...]
    inputs: tuple[str, ...] = ("text",)
    outputs: tuple[str, ...] = ("text",)
    reasoning: bool = False
    moderated: bool = False


_SMALL = (8192, 16384, 32768)
_MIDDLE = (32768, 65536, 131072)
_LARGE = (131072, 200000, 262144)
_HUGE = (400000, 1000000, 1048576)
_SEES = ("text", "image", "file")
_HEARS = ("text", "image", "file", "audio", "video")

FAMILIES = (
    Family("openai", "OpenAI", "GPT", "gpt-5{,-mini,-nano,-pro,-codex} gpt-5.1{,-chat,-codex,-codex-mini} gpt-5.2{,-pro,-chat} o1 o1-pro o3{,-mini,-mini-high,-pro,-deep-research} o4-mini{,-high,-deep-research}", (0.05, 15), _HUGE, _SEES, reasoning=True, moderated=True),
    Family("openai", "OpenAI", "GPT", "gpt-4.1{,-mini,-nano} gpt-4o{,-2024-05-13,-2024-08-06,-2024-11-20,-mini,-mini-search-preview,-search-preview} chatgpt-4o-latest gpt-4{,-turbo,-turbo-preview,-0314,-1106-preview} gpt-3.5-turbo{,-0613,-16k,-instruct}", (0.1, 10), _LARGE, _SEES, moderated=True),
    Family("openai", "OpenAI", "GPT", "gpt-5-image{,-mini} gpt-4o-audio-preview", (2, 10), _LARGE, _HEARS, ("text", "image"), moderated=True),
    Family("openai", "OpenAI", "GPT", "gpt-oss-{20b,120b,20b:free,safeguard-20b}", (0.03, 0.2), (131072,), reasoning=True),
    Family("anthropic", "Anthropic", "Claude", "claude-{haiku,sonnet,opus}-4.5 claude-opus-4{,.1} claude-sonnet-4 claude-3.7-sonnet{,:thinking}", (0.8, 15), (200000, 1000000), _SEES, reasoning=True, moderated=True),
    Family("anthropic", "Anthropic", "Claude", "claude-3.5-{haiku,haiku-20241022,sonnet,sonnet-20240620} claude-3-{haiku,opus,sonnet}", (0.25, 15), (200000,), _SEES, moderated=True),
    Family("google", "Google", "Gemini", "gemini-3-{flash,pro}-preview gemini-2.5-{pro,pro-preview,pro-preview-05-06,flash,flash-lite,flash-preview-09-2025,flash-lite-preview-09-2025}", (0.1, 2.5), (1048576,), _HEARS, reasoning=True),
    Family("google", "Google", "Gemini", "gemini-2.0-flash-{001,lite-001,exp:free} gemini-2.5-flash-image{,-preview} gemini-3-pro-image-preview", (0.07, 2), (32768, 1048576), _SEES, ("text", "image")),
    Family("google", "Google", "Gemma", "gemma-3-{4b,12b,27b}-it{,:free} gemma-3n-{e2b-it:free,e4b-it,e4b-it:free} gemma-2-{9b,27b}-it", (0.02, 0.7), _MIDDLE, ("text", "image")),
    Family("meta-llama", "Meta", "Llama3", "llama-3.3-{70b-instruct,70b-instruct:free,8b-instruct} llama-3.2-{1b,3b,11b-vision,90b-vision}-instruct llama-3.2-3b-instruct:free llama-3.1-{8b,70b,405b}-instruct llama-3.1-405b{,-instruct:free} llama-3-{8b,70b}-instruct llama-guard-{2-8b,3-8b,4-12b}", (0.02, 3.5), _MIDDLE),
    Family("meta-llama", "Meta", "Llama4", "llama-4-{scout,maverick}{,:free}", (0.08, 0.3), _HUGE, ("text", "image")),
    Family("mistralai", "Mistral", "Mistral", "mistral-{large,large-2407,large-2411,large-2512,medium-3,medium-3.1,small,tiny,saba,nemo} mistral-7b-instruct{,:free,-v0.1,-v0.2,-v0.3} mistral-small-{24b-instruct-2501,3.1-24b-instruct,3.1-24b-instruct:free,3.2-24b-instruct} codestral-{2501,2508} devstral-{medium,small,small-2505,2512,2512:free} ministral-{3b,8b,14b}{,-2512} mixtral-8x{7b,22b}-instruct pixtral-{12b,large-2411} voxtral-small-24b-2507", (0.02, 4), _MIDDLE),
    Family("mistralai", "Mistral", "Mistral", "magistral-{small,medium}-2506{,:thinking}", (0.5, 2), (40960,), reasoning=True),
    Family("deepseek", "DeepSeek", "DeepSeek", "deepseek-{r1,r1:free,r1-0528,r1-0528:free,r1-0528-qwen3-8b,r1-distill-llama-70b,r1-distill-qwen-14b,r1-distill-qwen-32b} deepseek-v3.1-terminus{,:exacto} deepseek-chat{,-v3-0324,-v3-0324:free,-v3.1,-v3.1:free} deepseek-v3.2{,-exp,-speciale} deepseek-prover-v2", (0.03, 1), (65536, 131072, 163840), reasoning=True),
    Family("qwen", "Qwen", "Qwen3", "qwen3-{4b:free,8b,14b,14b:free,30b-a3b,30b-a3b:free,32b,235b-a22b,235b-a22b:free} qwen3-{30b-a3b,235b-a22b}-{instruct,thinking}-2507 qwen3-next-80b-a3b-{instruct,thinking} qwen3-vl-{8b,30b-a3b,235b-a22b}-{instruct,thinking} qwen3-{max,coder,coder:free,coder-plus,coder-flash,coder-30b-a3b-instruct}", (0.03, 1.2), _LARGE, reasoning=True),
    Family("qwen", "Qwen", "Qwen", "qwen-{max,plus,plus-2025-07-28,turbo,vl-max,vl-plus} qwen-2.5-{7b,72b}-instruct qwen-2.5-72b-instruct:free qwen-2.5-coder-32b-instruct qwen2.5-{coder-7b-instruct,vl-32b-instruct,vl-72b-instruct} qwq-32b", (0.03, 1.6), _MIDDLE),
    Family("x-ai", "xAI", "Grok", "grok-4{,-fast,.1-fast} grok-3{,-beta,-mini,-mini-beta} grok-code-fast-1", (0.2, 3), (131072, 256000, 2000000), ("text", "image"), reasoning=True),
    Family("amazon", "Amazon", "Nova", "nova-{micro,lite,pro}-v1 nova-premier-v1 nova-2-lite-v1", (0.03, 2.5), (128000, 300000, 1000000), ("text", "image")),
    Family("cohere", "Cohere", "Cohere", "command-{a,r-08-2024,r-plus-08-2024,r7b-12-2024}", (0.04, 2.5), (128000, 256000)),
    Family("microsoft", "Microsoft", "Other", "phi-4{,-multimodal-instruct,-reasoning-plus} phi-3-{mini,medium}-128k-instruct phi-3.5-mini-128k-instruct wizardlm-2-8x22b mai-ds-r1", (0.05, 1), _SMALL),
    Family("nvidia", "NVIDIA", "Llama3", "llama-3.1-nemotron-{70b-instruct,ultra-253b-v1} llama-3.3-nemotron-super-49b-v1.5 nemotron-nano-{9b-v2,9b-v2:free,12b-v2-vl,12b-v2-vl:free} nemotron-3-nano-30b-a3b{,:free}", (0.04, 1.2), _LARGE, reasoning=True),
    Family("z-ai", "Z.AI", "Other", "glm-4{.5,.5-air,.5-air:free,.5v,.6,.6:exacto,.6v,.7,-32b}", (0.1, 0.6), _LARGE, reasoning=True),
    Family("moonshotai", "MoonshotAI", "Other", "kimi-k2{,:free,-0905,-0905:exacto,-thinking} kimi-dev-72b kimi-linear-48b-a3b-instruct", (0.3, 0.6), _LARGE),
    Family("minimax", "MiniMax", "Other", "minimax-{01,m1,m2,m2.1}", (0.2, 0.5), _HUGE, reasoning=True),
    Family("perplexity", "Perplexity", "Other", "sonar{,-pro,-pro-search,-reasoning,-reasoning-pro,-deep-research}", (1, 3), (127072, 200000)),
    Family("nousresearch", "Nous", "Llama3", "hermes-4-{70b,405b} hermes-3-llama-3.1-{70b,405b,405b:free} hermes-2-pro-llama-3-8b deephermes-3-mistral-24b-preview", (0.02, 1), _MIDDLE),
    Family("baidu", "Baidu", "Other", "ernie-4.5-{21b-a3b,21b-a3b-thinking,300b-a47b,vl-28b-a3b,vl-424b-a47b}", (0.05, 0.5), _MIDDLE),
    Family("tencent", "Tencent", "Other", "hunyuan-a13b-instruct{,:free}", (0.1, 0.2), _MIDDLE),
    Family("bytedance-seed", "ByteDance Seed", "Other", "seed-1.6{,-flash} seed-oss-36b-instruct", (0.07, 0.3), _LARGE, ("text", "image", "video")),
    Family("arcee-ai", "Arcee AI", "Other", "trinity-mini{,:free} coder-large maestro-reasoning spotlight virtuoso-large afm-4.5b", (0.04, 0.9), _MIDDLE),
    Family("allenai", "AllenAI", "Other", "olmo-{2-0325-32b-instruct,3-7b-instruct,3-7b-think,3-32b-think,3.1-32b-think:free}", (0.05, 0.3), _MIDDLE),
    Family("ai21", "AI21", "Other", "jamba-{large,mini}-1.7", (0.2, 2), (256000,)),
    Family("inception", "Inception", "Other", "mercury{,-coder}", (0.25, 0.25), (128000,)),
    Family("inflection", "Inflection", "Other", "inflection-3-{pi,productivity}", (2.5, 2.5), (8000,)),
    Family("liquid", "LiquidAI", "Other", "lfm-2.2-6b lfm2-8b-a1b lfm-7b", (0.01, 0.05), _SMALL),
    Family("ibm-granite", "IBM", "Other", "granite-4.0-h-micro", (0.02, 0.02), (131000,)),
    Family("thedrummer", "TheDrummer", "Other", "anubis-70b-v1.1 cydonia-24b-v4.1 rocinante-12b skyfall-36b-v2 unslopnemo-12b", (0.2, 0.8), _SMALL),
    Family("sao10k", "Sao10K", "Llama3", "l3-{euryale-70b,lunaris-8b} l3.1-{70b-hanami-x1,euryale-70b} l3.3-euryale-70b", (0.04, 3), _SMALL),
    Family("neversleep", "NeverSleep", "Llama3", "llama-3.1-lumimaid-8b noromaid-20b", (0.1, 1), _SMALL),
    Family("aion-labs", "AionLabs", "Other", "aion-{1.0,1.0-mini,rp-llama-3.1-8b}", (0.2, 4), _MIDDLE, reasoning=True),
    Family("deepcogito", "Deep Cogito", "Llama3", "cogito-v2-preview-{deepseek-671b,llama-70b,llama-109b-moe,llama-405b} cogito-v2.1-671b", (0.2, 3.5), _MIDDLE, reasoning=True),
    Family("stepfun-ai", "StepFun", "Other", "step3", (0.6, 0.6), (65536,), ("text", "image")),
    Family("xiaomi", "Xiaomi", "Other", "mimo-v2-flash{,:free}", (0.1, 0.1), (262144,), reasoning=True),
    Family("kwaipilot", "Kwaipilot", "Other", "kat-coder-pro{,:free}", (0.2, 0.2), (256000,)),
    Family("alibaba", "Alibaba", "Other", "tongyi-deepresearch-30b-a3b", (0.09, 0.09), (131072,)),
    Family("opengvlab", "OpenGVLab", "Other", "internvl3-78b", (0.1, 0.1), (32768,), ("text", "image")),
    Family("switchpoint", "Switchpoint", "Other", "router", (0.85, 0.85), (131072,)),
    Family("relace", "Relace", "Other", "relace-{apply-3,search}", (0.85, 1), (256000,)),
    Family("morph", "Morph", "Other", "morph-v3-{fast,large}", (0.8, 0.9), (81920, 262144)),
    Family("gryphe", "Gryphe", "Llama2", "mythomax-l2-13b", (0.06, 0.06), (4096,)),
    Family("undi95", "Undi95", "Llama2", "remm-slerp-l2-13b", (0.45, 0.45), (6144,)),
    Family("mancer", "Mancer", "Llama2", "weaver", (0.75, 0.75), (8000,)),
    Family("alpindale", "Alpindale", "Llama2", "goliath-120b", (6, 6), (6144,)),
    Family("raifle", "Raifle", "Other", "sorcererlm-8x22b", (4.5, 4.5), (16000,)),
    Family("anthracite-org", "Anthracite", "Qwen", "magnum-v4-72b", (3, 3), (16384,)),
)  # fmt: skip

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
