"""Local models against a direct forward pass, on a small model made here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from saltus.errors import SaltusError
from saltus.models.client import ENGINES, Failed, ModelError, Reply, Request
from saltus.models.served import Served

torch = pytest.importorskip("torch", reason="needs PyTorch: the extra hf")
transformers = pytest.importorskip("transformers", reason="needs transformers: the extra hf")
tokenizers = pytest.importorskip("tokenizers", reason="needs tokenizers: the extra hf")

from saltus.models.huggingface import fingerprint  # noqa: E402

END = "<end>"
TEXT = [
    "Q: What is 12 plus 30?\nA: 42", "The cat sat on the mat.", "Größe, naïve, 猫が好き",
    "one two three four five six seven", "a b c d e f g", "hot and wet, cold and dry",
]  # fmt: skip
PROMPTS = ("Q: What is 12 plus 30?\nA:", "The cat", "one two three four", "", "Größe,", "cold")
CONTINUATIONS = (" 42", " sat on the mat.", " five", "The cat", " naïve, 猫", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("weights")
    words = tokenizers.Tokenizer(tokenizers.models.BPE())
    words.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=[END],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    words.train_from_iterator(TEXT, trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token=END)
    fast.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[me]"
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=128, eos_token_id=fast.eos_token_id,
        bos_token_id=None, initializer_range=0.5,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(place)
    fast.save_pretrained(place)
    return place


def ask(folder: Path, *requests: Request, **options: Any) -> list[Reply | Failed]:
    client = ENGINES["hf"].open(Served(name="m", engine="hf", path=str(folder), **options))

    async def answers() -> list[Reply | Failed]:
        await client.probe()
        found: list[Reply | Failed] = []
        for start in range(0, len(requests), client.batch):
            found += await client.ask(requests[start : start + client.batch])
        await client.close()
        return found

    return asyncio.run(answers())


def direct(folder: Path, prompt: str, text: str) -> list[float]:
    """Log-probabilities by one unpadded forward pass and a plain loop."""
    words = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    whole, before = words(prompt + text)["input_ids"], words(prompt)["input_ids"]
    assert whole[: len(before)] == before, "this pair does not split at a token"
    with torch.no_grad():
        logits = model(torch.tensor([whole])).logits[0]
    values = logits.log_softmax(-1)
    return [float(values[n - 1, whole[n]]) for n in range(len(before), len(whole))]


@pytest.mark.parametrize("batch", [1, 16])
def test_log_probabilities_are_those_of_a_direct_forward_pass(folder: Path, batch: int) -> None:
    pairs = [(p, c) for p in PROMPTS if p for c in CONTINUATIONS if c.startswith(" ")]
    replies = ask(folder, *(Request(p, c) for p, c in pairs), batch=batch)
    for (prompt, text), reply in zip(pairs, replies, strict=True):
        assert isinstance(reply, Reply)
        assert reply.logprobs is not None
        assert reply.logprobs == pytest.approx(direct(folder, prompt, text), abs=1e-4)
        assert not reply.merged


def test_what_has_no_value_says_why(folder: Path) -> None:
    empty, first = ask(folder, Request("The cat", ""), Request("", "The cat"))
    assert isinstance(empty, Reply)
    assert isinstance(first, Reply)
    assert (empty.logprobs, empty.missing) == (None, "the text is empty")
    assert first.logprobs is None
    assert "nothing stands before" in (first.missing or "")


def test_a_text_that_begins_within_a_token_is_marked(folder: Path) -> None:
    (reply,) = ask(folder, Request("The ca", "t sat"))
    assert isinstance(reply, Reply)
    assert reply.merged
    assert reply.logprobs is not None


@pytest.mark.parametrize("batch", [1, 16])
def test_greedy_answers_are_those_of_generate(folder: Path, batch: int) -> None:
    words = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompts = [prompt for prompt in PROMPTS if prompt]
    replies = ask(folder, *(Request(p, max_tokens=12) for p in prompts), batch=batch)
    for prompt, reply in zip(prompts, replies, strict=True):
        ids = torch.tensor([words(prompt)["input_ids"]])
        made = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False,
            pad_token_id=0,
        )[0, ids.shape[1] :].tolist()  # fmt: skip
        ended = words.eos_token_id in made
        expected = made[: made.index(words.eos_token_id)] if ended else made
        assert isinstance(reply, Reply)
        assert reply.text == words.decode(expected)
        assert reply.finish == ("stop" if ended else "length")
        assert reply.completion_tokens == len(expected)


def test_a_sampled_answer_depends_on_its_seed_alone(folder: Path) -> None:
    def sampled(seed: int) -> Request:
        return Request("The cat", max_tokens=8, temperature=1.0, seed=seed)

    alone = [ask(folder, sampled(seed))[0] for seed in range(3)]
    together = ask(folder, *(sampled(seed) for seed in range(3)), Request("one", max_tokens=20))
    texts = [reply.text for reply in alone if isinstance(reply, Reply)]
    assert texts == [reply.text for reply in together[:3] if isinstance(reply, Reply)]
    assert len(set(texts)) > 1


def test_an_answer_ends_before_a_stop_string(folder: Path) -> None:
    (free,) = ask(folder, Request("The cat", max_tokens=12))
    assert isinstance(free, Reply)
    assert free.text
    stop = free.text[4:6]
    (cut,) = ask(folder, Request("The cat", max_tokens=12, stop=(stop,)))
    assert isinstance(cut, Reply)
    assert cut.text == free.text[: free.text.find(stop)]
    assert cut.finish == "stop"


def test_too_long_a_prompt_fails_alone(folder: Path) -> None:
    long, short = ask(folder, Request("cat " * 200), Request("cat"))
    assert isinstance(long, Failed)
    assert long.lasting
    assert "room for 128" in long.reason
    assert isinstance(short, Reply)


def test_chat_sets_the_models_own_template(folder: Path) -> None:
    chat, plain = (
        ask(folder, Request(prompt, " sat"), **more)[0]
        for prompt, more in (
            ("The cat", {"api": "chat", "system": "Be kind"}),
            ("[system] Be kind\n[user] The cat\n[me]", {}),
        )
    )
    assert isinstance(chat, Reply)
    assert isinstance(plain, Reply)
    assert chat.logprobs == pytest.approx(plain.logprobs, abs=1e-5)


def test_faults_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SaltusError, match="needs `path`"):
        ENGINES["hf"].open(Served(name="m", engine="hf"))
    with pytest.raises(ModelError, match="model 'm' at ") as fault:
        ask(tmp_path, Request("a"))
    assert "\n" not in str(fault.value)


def test_the_fingerprint_follows_content_and_not_place(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b") != fingerprint(folder)
    (tmp_path / "b" / "config.json").write_text("{ }")
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")
    assert fingerprint(tmp_path / "none") is None
