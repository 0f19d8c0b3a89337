"""The transformer: its mathematics by hand, its counts, and the seam of trainable families."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch", reason="the networks need the extra: saltus[train]")

from saltus.errors import UnknownNameError  # noqa: E402
from saltus.models.answering import Answering, data_of  # noqa: E402
from saltus.models.family import FAMILIES, PRESETS, Preset  # noqa: E402
from saltus.models.transformer import (  # noqa: E402
    Characters,
    Transformer,
    flops_per_token,
    generate,
    labels,
    parameters,
    token_losses,
)
from saltus.tasks import TASKS  # noqa: E402

torch.set_num_threads(1)
TINY = Preset(sizes=(4, 8), seeds=2, steps=4, batch=8, items=20, checkpoints=2, learning_rate=1e-3)
FLOAT = torch.float64


def network(width: int = 32, tokens: int = 7, context: int = 9, seed: int = 0) -> Transformer:
    made = Transformer(tokens, context, width, torch.Generator().manual_seed(seed))
    with torch.no_grad():  # no weight keeps a special value
        for weights in made.parameters():
            weights += 0.1 * torch.randn(
                weights.shape, generator=torch.Generator().manual_seed(weights.numel())
            )
    return made.to(FLOAT)


def by_hand(model: Transformer, ids: list[int]) -> np.ndarray:
    """The same network in NumPy, token by token."""
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        mean, variance = x.mean(), x.var()
        return (x - mean) / np.sqrt(variance + 1e-5) * weights[f"{name}.weight"] + weights[
            f"{name}.bias"
        ]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    def gelu(x: np.ndarray) -> np.ndarray:
        return 0.5 * x * (1 + torch.erf(torch.tensor(x) / 2**0.5).numpy())

    rows = [
        weights["token.weight"][token] + weights["position.weight"][at]
        for at, token in enumerate(ids)
    ]
    for layer, block in enumerate(model.blocks):
        name = f"blocks.{layer}"
        joined = [linear(norm(x, f"{name}.norm_attention"), f"{name}.attention") for x in rows]
        size = model.width // block.heads
        for at in range(len(rows)):
            seen = []
            for head in range(block.heads):
                part = slice(head * size, (head + 1) * size)
                query = joined[at][: model.width][part]
                keys = [row[model.width : 2 * model.width][part] for row in joined[: at + 1]]
                values = [row[2 * model.width :][part] for row in joined[: at + 1]]
                scores = np.array([query @ key for key in keys]) / np.sqrt(size)
                share = np.exp(scores - scores.max())
                seen.append(sum(s * v for s, v in zip(share / share.sum(), values, strict=True)))
            x = rows[at] + linear(np.concatenate(seen), f"{name}.mix")
            inner = gelu(linear(norm(x, f"{name}.norm_feed"), f"{name}.up"))
            rows[at] = x + linear(inner, f"{name}.down")
    return np.stack([linear(norm(x, "norm"), "head") for x in rows])


@pytest.mark.parametrize("width", [4, 32])
def test_the_network_is_the_one_worked_by_hand(width: int) -> None:
    model = network(width)
    ids = [3, 1, 6, 0, 2, 5, 4]
    with torch.no_grad():
        found = model(torch.tensor([ids]))[0].numpy()
    np.testing.assert_allclose(found, by_hand(model, ids), rtol=1e-9, atol=1e-9)


def test_no_position_looks_ahead() -> None:
    model, ids = network(), torch.tensor([[3, 1, 6, 0, 2], [3, 1, 6, 5, 5]])
    with torch.no_grad():
        first, second = model(ids)
    torch.testing.assert_close(first[:3], second[:3])
    assert not torch.allclose(first[3:], second[3:])


def test_parameters_and_flops_are_those_of_the_formulas() -> None:
    width, tokens, context = 32, 13, 11
    model = network(width, tokens, context)
    block = 12 * width**2 + 13 * width  # 4 d^2 + 8 d^2, offsets 9 d, norms 4 d
    embeddings = (tokens + context) * width
    assert parameters(model) == 2 * block + embeddings + 2 * width + (width + 1) * tokens
    forward = 2 * (2 * 12 * width**2 + width * tokens) + 2 * 2 * (2 * context * width)
    assert flops_per_token(model, context) == 3 * forward


def test_flops_agree_with_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model, ids = network(32, 13, 11), torch.zeros(6, 11, dtype=torch.long)
    with (
        FlopCounterMode(display=False) as counter,
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        model(ids).sum().backward()
    counted = counter.get_total_flops() / ids.numel()
    assert counted == pytest.approx(flops_per_token(model, 11), rel=0.02)


def test_labels_count_the_answer_and_its_end_only() -> None:
    characters = Characters("0123456789*=")
    ids = torch.from_numpy(characters.encode(["2*3=6", "4*5=20"], 8))
    ids[0, 5] = ids[1, 6] = characters.end
    found = labels(ids, torch.tensor([4, 4]), torch.tensor([6, 7]))
    six, two, zero = (characters.encode([digit], 1)[0, 0] for digit in "620")
    none = -100
    assert found.tolist() == [
        [none, none, none, six, 1, none, none],
        [none, none, none, two, zero, 1, none],
    ]
    model = Transformer(characters.size, 7, 8, torch.Generator().manual_seed(0))
    losses = token_losses(model, ids, found)
    assert ((losses > 0) == (found >= 0)).all()
    logits = torch.log_softmax(model(ids[:, :-1]), -1)
    torch.testing.assert_close(losses[1, 4], -logits[1, 4, zero])


def test_text_survives_coding() -> None:
    characters = Characters("0123456789=")
    row = characters.encode(["12=7"], 6)[0]
    assert characters.decode(row) == "12=7"
    assert characters.decode([*row[:3], characters.end, 5]) == "12="
    with pytest.raises(KeyError):
        characters.encode(["a"], 3)


def test_generation_is_one_greedy_token_after_the_other() -> None:
    model = network(32, tokens=9, context=12, seed=3)
    prompts = [[3, 4, 5], [2, 2, 6, 7, 8]]
    ids = torch.zeros(2, 5, dtype=torch.long)
    for row, prompt in zip(ids, prompts, strict=True):
        row[: len(prompt)] = torch.tensor(prompt)
    found = generate(model, ids, torch.tensor([3, 5]), 6)
    for prompt, answer in zip(prompts, found.tolist(), strict=True):
        text = list(prompt)
        for _ in range(6):
            with torch.no_grad():
                text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
        assert answer == text[len(prompt) :]


def test_held_out_items_share_no_pair_with_the_rest() -> None:
    data = data_of("multiplication_2_reversed", 300)
    texts = {data.characters.decode(row) for row in data.train.ids.tolist()}
    assert len(texts) == len(data.train.ids)
    assert data.items["cluster"].n_unique() == 300
    for prompt in data.items["prompt"]:
        left, right = prompt.rstrip("=").split("*")
        assert not any(t.startswith((f"{left}*{right}=", f"{right}*{left}=")) for t in texts)
    squares = data.items.filter(
        pl.col("prompt").str.replace(r"(\d+)\*(\d+)=", "$1")
        == pl.col("prompt").str.replace(r"(\d+)\*(\d+)=", "$2")
    ).height
    assert len(texts) == 10_000 - 2 * 300 + squares


@pytest.mark.parametrize("entry", list(FAMILIES), ids=lambda entry: entry.name)
def test_families_state_their_facts(entry) -> None:
    assert {"smoke", "paper"} <= set(entry.presets) <= set(PRESETS)
    assert entry.source
    assert entry.summary
    for preset in entry.presets.values():
        assert list(preset.sizes) == sorted(set(preset.sizes))
        assert min(preset.seeds, preset.steps, preset.batch, preset.items) > 0
        assert 1 <= preset.checkpoints <= preset.steps
    assert entry.presets["paper"].seeds >= 3
    with pytest.raises(UnknownNameError, match="did you mean smoke"):
        entry.preset("smok")


def test_names_of_families_cost_no_torch() -> None:
    code = (
        "import sys; from saltus.models.family import FAMILIES; "
        "assert len(FAMILIES) and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("task", ["multiplication_2_reversed", "addition_2", "copying_4"])
def test_a_learner_is_decided_by_size_seed_and_step(task: str) -> None:
    one, same, other = (Answering(task, 8, seed, TINY) for seed in (1, 1, 2))
    with torch.no_grad():
        assert one.loss(3) == same.loss(3) != one.loss(4)
        assert one.loss(3) != other.loss(3)
    assert one.respond().equals(same.respond())
    assert one.params == parameters(one.module)
    assert one.tokens_per_step == 8 * one.context


@pytest.mark.parametrize("task", ["multiplication_2_reversed", "addition_2"])
def test_answers_and_log_probabilities_agree(task: str) -> None:
    learner = Answering(task, 8, 0, replace(TINY, batch=32, items=40))
    optimizer = torch.optim.AdamW(learner.module.parameters(), lr=0.02)
    for step in range(60):
        optimizer.zero_grad()
        learner.loss(step).backward()
        optimizer.step()
    rows = learner.respond()
    assert rows.height == 40
    targets = rows["targets"].list.first()
    assert rows["target_logprobs"].list.len().equals(targets.str.len_chars().cast(pl.UInt32))
    assert (rows["target_bytes"] == targets.str.len_bytes()).all()
    flat = rows["target_logprobs"].explode()
    assert learner.validate() == pytest.approx(-flat.mean())
    for row in rows.iter_rows(named=True):  # who gives every character > 1/2 answers greedily
        if all(value > np.log(0.5) for value in row["target_logprobs"]):
            assert row["output"][: len(row["targets"][0])] == row["targets"][0]


def test_every_family_is_built_from_a_task() -> None:
    for entry in FAMILIES:
        if entry.task in TASKS:
            learner = entry.build(4, 0, replace(TINY, sizes=(4,)))
            assert learner.respond().height == TINY.items
