"""A network of our own as a server would show it: answers, echoes and log-probabilities.

Every character is a token. What a request asks for becomes a `Told`, which the two shapes of
the OpenAI interface (legacy completions, chat) are written from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from saltus.errors import SaltusError
from saltus.models.transformer import Characters, Transformer

END = ""  # how the end mark is written


@dataclass(frozen=True)
class Told:
    """What a model says to one prompt.

    Args:
        tokens: characters of the answer, behind those of the prompt where they were asked for.
        logprobs: natural log-probability of each; None: nothing stands before it.
        top: per token the likeliest characters with their log-probabilities; None likewise.
        text: the tokens as one text.
        finish: stop or length.
        prompt_tokens: characters read.
        completion_tokens: characters written.
    """

    tokens: tuple[str, ...]
    logprobs: tuple[float | None, ...]
    top: tuple[dict[str, float] | None, ...]
    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int


def tell(
    model: Transformer,
    characters: Characters,
    prompt: str,
    *,
    max_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    stop: Sequence[str] = (),
    echo: bool = False,
    top_k: int = 0,
) -> Told:
    """Answer a prompt.

    Args:
        model: the network, in evaluation mode; of a longer text it reads the end.
        characters: its alphabet.
        prompt: what it is asked, not empty.
        max_tokens: longest answer; 0 gives the echo alone.
        temperature: 0 for greedy decoding.
        seed: of the sampling.
        stop: strings that end the answer and are left out.
        echo: whether the prompt's own tokens come first.
        top_k: alternatives per token.

    Raises:
        SaltusError: the prompt is empty, or nothing is asked for.
    """
    if not prompt or (not max_tokens and not echo):
        raise SaltusError("there is nothing to answer: an empty prompt, or no token asked for")
    draws = torch.Generator().manual_seed(seed)
    ids = _read(characters, prompt)
    finish, text = "length", ""
    with torch.inference_mode():
        for _ in range(max_tokens):
            logits = model(torch.tensor([ids[-model.context :]]))[0, -1]
            token = _pick(logits, temperature, draws)
            if token <= characters.end:
                finish = "stop"
                break
            ids.append(token)
            text = characters.decode(ids[len(prompt) :])
            if cut := [text.find(s) for s in stop if s and s in text]:
                finish, text = "stop", text[: min(cut)]
                ids = ids[: len(prompt) + len(text)]
                break
        before = _logprobs(model, ids)
    names = (*prompt, *text)
    places = range(0 if echo else len(prompt), len(ids))
    return Told(
        tokens=tuple(names[at] for at in places),
        logprobs=tuple(float(before[at - 1, ids[at]]) if at else None for at in places),
        top=tuple(_likeliest(characters, before[at - 1], top_k) if at else None for at in places),
        text="".join(names[at] for at in places),
        finish=finish,
        prompt_tokens=len(prompt),
        completion_tokens=len(text),
    )


def _read(characters: Characters, text: str) -> list[int]:
    """Tokens of any text; a character that the model never saw is read as padding."""
    place = {character: at + 2 for at, character in enumerate(characters.alphabet)}
    return [place.get(character, characters.padding) for character in text]


def _logprobs(model: Transformer, ids: Sequence[int]) -> torch.Tensor:
    """(tokens, characters): of what follows each token, from as much as the model reads."""
    room = model.context
    whole = model(torch.tensor([ids[:room]]))[0]
    later = [model(torch.tensor([ids[at - room : at]]))[0, -1:] for at in range(room + 1, len(ids))]
    return torch.cat([whole, *later]).log_softmax(-1)


def _pick(logits: torch.Tensor, temperature: float, draws: torch.Generator) -> int:
    if temperature <= 0:
        return int(logits.argmax())
    return int((logits / temperature).softmax(-1).multinomial(1, generator=draws))


def _likeliest(characters: Characters, logprobs: torch.Tensor, count: int) -> dict[str, float]:
    values, places = logprobs.topk(min(count, len(logprobs)))
    pairs = zip(places.tolist(), values.tolist(), strict=True)
    return {characters.decode([place]) or END: value for place, value in pairs}
