"""Hypothesis strategies for requests, and for prompts that infotext can carry."""

from __future__ import annotations

from hypothesis import strategies as st

from generation.infotext import carries_prompts
from generation.request import MAX_SEED, GenerationRequest, make_request
from generation.sampler_info import SAMPLERS, SCHEDULES

SNIPPETS = [
    "a cat", ", ", ",", ": ", "\"", "'", "\n", "\\", "🐈‍⬛", "قطة", "‮", "一只猫", "(x:1.2)", "[a:b:0.5]",
    "<lora:x:1>", "é", "Steps: 20, Sampler: Euler, Seed: 1", "Negative prompt", "AND", "BREAK", "#",
    "  ", "\t", "1x2", "=", "{",
]  # fmt: skip

long_texts = st.lists(st.sampled_from(SNIPPETS), min_size=3, max_size=12).map(
    lambda parts: ("".join(parts) * 2000)[:10_000]
)
texts = st.one_of(
    st.lists(st.sampled_from(SNIPPETS), max_size=20).map("".join),
    st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=60),
    long_texts,
)
prompt_pairs = st.tuples(texts, texts).filter(lambda pair: carries_prompts(*pair))
numbers = st.floats(allow_nan=False, allow_infinity=False)
sizes = st.integers(2, 1024).map(lambda eighths: eighths * 8)

sampling = st.fixed_dictionaries(
    {},
    optional={
        "eta": st.floats(0, 2),
        "s_churn": st.floats(0, 100),
        "s_tmin": st.floats(0, 1e6),
        "s_tmax": st.floats(0, 1e6),
        "s_noise": st.floats(0, 2),
        "eta_noise_seed_delta": st.integers(0, MAX_SEED),
        "cfg_rescale": st.floats(0, 1),
    },
)
varied = st.fixed_dictionaries(
    {"variation_seed": st.integers(0, MAX_SEED), "variation_strength": st.floats(0.0001, 1)}
)
resized = st.fixed_dictionaries(
    {"seed_resize_width": st.integers(1, 8192), "seed_resize_height": st.integers(1, 8192)}
)
basics = st.fixed_dictionaries(
    {
        "seed": st.integers(0, MAX_SEED),
        "steps": st.integers(1, 1000),
        "cfg_scale": st.floats(0, 100),
        "width": sizes,
        "height": sizes,
        "sampler": st.sampled_from([info.name for info in SAMPLERS]),
        "schedule": st.sampled_from([info.label for info in SCHEDULES]),
        "clip_skip": st.integers(1, 12),
        "noise_source": st.sampled_from(["CPU", "NV", "GPU"]),
        "sampling": sampling,
        "model": st.sampled_from(["", "0123456789"]),
        "vae": st.sampled_from(["Automatic", "crisp.safetensors", "a, b: c"]),
    }
)


@st.composite
def requests(draw: st.DrawFn) -> GenerationRequest:
    """Requests of which infotext can carry everything."""
    prompt, negative = draw(prompt_pairs)
    fields = draw(basics)
    for optional in (varied, resized):
        if draw(st.booleans()):
            fields.update(draw(optional))
    return make_request(prompt=prompt, negative_prompt=negative, **fields)
