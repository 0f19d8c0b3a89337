"""Scoring text against the field's packages: pairs per CPU second in one run, equal numbers.

    pip install saltus[bench]
    python benchmarks/bench_text.py [--rounds 3] [--only ROUGE] [--threads | --table]

Paragraphs have about 180 words, one sentence a line, 5 % edits, and in three of ten two
sentences swapped; shorts have 1 to 8 words. CPU time is that of the whole process; contenders
take turns and the best round of each counts. A peer that is slow gets fewer pairs of the same
kind. sacrebleu's tokens are forgotten before every round, or the second would measure a cache.

Exact match gets what `map(eq)` gets: texts in memory, each answer's list of targets made before
the clock starts (making a list for each answer costs the garbage collector ten times what the
comparison takes). `--table` measures the road from a table of answers to a table of scores,
against the same answers taken out of the table and compared in plain Python.
"""

from __future__ import annotations

import argparse
import operator
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saltus import kernels
from saltus.kernels import plain
from saltus.metrics import ngrams, overlap, squad
from saltus.metrics.metric import METRICS

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

Texts = Sequence[str]
Score = Callable[[Texts, Texts], Any]

NAMES = ["".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz", k=2 + seed % 9))
         for seed in range(4000)]  # fmt: skip


class Job(NamedTuple):
    """One row of the table: a peer, our way, the least ratio, and on which data."""

    name: str
    peer: Score
    ours: Score
    bar: float
    data: str = "paragraphs"
    peer_pairs: int = 60
    our_pairs: int = 4000
    in_lists: bool = False  # ours takes a list of targets for each answer


def sentence(rng: random.Random) -> list[str]:
    words = [NAMES[min(int(rng.paretovariate(0.6)), 3999)] for _ in range(rng.randint(10, 20))]
    words[0] = words[0].capitalize()
    return [*words[:-1], words[-1] + rng.choice(".....?!")]


def paragraph(rng: random.Random) -> tuple[str, str]:
    want = [sentence(rng) for _ in range(12)]
    have = [[rng.choice(NAMES) if rng.random() < 0.05 else w for w in line] for line in want]
    if rng.random() < 0.3:
        i, j = rng.sample(range(12), 2)
        have[i], have[j] = have[j], have[i]
    return tuple("\n".join(map(" ".join, side)) for side in (have, want))  # type: ignore[return-value]


def short(rng: random.Random) -> tuple[str, str]:
    want = [rng.choice(NAMES[:200]) for _ in range(rng.randint(1, 8))]
    return " ".join(w if rng.random() < 0.8 else rng.choice(NAMES) for w in want), " ".join(want)


def data(kind: str, count: int) -> tuple[list[str], list[str]]:
    rng = random.Random(1)
    make = paragraph if kind == "paragraphs" else short
    outputs, targets = zip(*(make(rng) for _ in range(count)), strict=True)
    return list(outputs), list(targets)


# ---- the peers


def rouge_peer(kinds: list[str]) -> Score:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(kinds)

    def scored(outputs: Texts, targets: Texts) -> Any:
        rows = [scorer.score(t, o) for o, t in zip(outputs, targets, strict=True)]
        return np.array([[row[kind].fmeasure for kind in kinds] for row in rows])

    return scored


def sacrebleu_peer(name: str, **options: Any) -> Score:
    import sacrebleu.metrics
    from sacrebleu.tokenizers import tokenizer_13a, tokenizer_re, tokenizer_ter

    metric = getattr(sacrebleu.metrics, name)(**options)
    cached = [tokenizer_13a.Tokenizer13a, tokenizer_re.TokenizerRegexp,
              tokenizer_ter.TercomTokenizer]  # fmt: skip

    def scored(outputs: Texts, targets: Texts) -> Any:
        for tokenizer in cached:
            tokenizer.__call__.cache_clear()  # type: ignore[attr-defined]
        both = zip(outputs, targets, strict=True)
        return np.array([metric.sentence_score(o, [t]).score for o, t in both])

    return scored


def split_distance(outputs: Texts, targets: Texts) -> Any:
    from rapidfuzz.distance import Levenshtein

    both = zip(outputs, targets, strict=True)
    return np.array([Levenshtein.distance(o.split(), t.split()) for o, t in both])


def jiwer_rate(outputs: Texts, targets: Texts) -> Any:
    """jiwer parts words at blanks only."""
    import jiwer

    both = zip(outputs, targets, strict=True)
    return np.array([jiwer.wer(t.replace("\n", " "), o.replace("\n", " ")) for o, t in both])


def squad_script(outputs: Texts, targets: Texts) -> Any:
    """The published formulas."""
    import re
    import string
    from collections import Counter

    def normal(text: str) -> str:
        marks = set(string.punctuation)
        bare = "".join(c for c in text.lower() if c not in marks)
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())

    def one(output: str, target: str) -> tuple[float, float]:
        have, want = normal(output).split(), normal(target).split()
        same = sum((Counter(have) & Counter(want)).values())
        exact = float(normal(output) == normal(target))
        if not have or not want or not same:
            return exact, float(have == want)
        precision, recall = same / len(have), same / len(want)
        return exact, (2 * precision * recall) / (precision + recall)

    return np.array([one(o, t) for o, t in zip(outputs, targets, strict=True)])


# ---- our way


def rouge_ours(kinds: Sequence[overlap.Kind], module: Any = kernels) -> Score:
    parts = 0
    for kind in kinds:
        parts |= overlap.PARTS[kind]

    def scored(outputs: Texts, targets: Texts) -> Any:
        counts = module.rouge(outputs, targets, parts)
        return np.stack([overlap.rouge(counts, kind).f for kind in kinds], axis=1)

    return scored


def bleu_ours(outputs: Texts, targets: Texts) -> Any:
    return ngrams.bleu_scores(kernels.bleu(outputs, [(t,) for t in targets]), effective=True)


def chrf_ours(outputs: Texts, targets: Texts) -> Any:
    return ngrams.chrf_scores(ngrams.chrf_counts(outputs, targets))


def chrf_plus_ours(outputs: Texts, targets: Texts) -> Any:
    return ngrams.chrf_scores(ngrams.chrf_counts(outputs, targets, words=True))


def ter_ours(outputs: Texts, targets: Texts) -> Any:
    counts = kernels.ter(outputs, targets).astype(float)
    return ngrams.ter_scores(counts[:, 2], counts[:, 1])


def squad_ours(outputs: Texts, targets: Texts) -> Any:
    counts = kernels.squad(outputs, targets)
    return np.stack([counts[:, 3], squad.f1_scores(counts)], axis=1)


def rate_ours(outputs: Texts, targets: Texts) -> Any:
    counts = kernels.word_edits(outputs, targets)
    return counts[:, 2] / counts[:, 1]


def exact_ours(outputs: Texts, targets: Any) -> Any:
    return METRICS["exact_match"].compute(outputs, targets).value


FOUR: list[overlap.Kind] = ["1", "2", "L", "Lsum"]
FOUR_NAMES = [f"rouge{kind}" for kind in FOUR]


def jobs() -> list[Job]:
    distance: Score = lambda o, t: kernels.word_edits(o, t)[:, 2]  # noqa: E731
    rows = [
        Job("ROUGE 1+2+L+Lsum", rouge_peer(FOUR_NAMES), rouge_ours(FOUR), 300, peer_pairs=40),
        Job("ROUGE 1+2+L+Lsum, plain Python", rouge_peer(FOUR_NAMES), rouge_ours(FOUR, plain), 10,
            peer_pairs=40, our_pairs=400),
        Job("ROUGE-L", rouge_peer(["rougeL"]), rouge_ours(["L"]), 200, our_pairs=8000),
        Job("ROUGE-Lsum", rouge_peer(["rougeLsum"]), rouge_ours(["Lsum"]), 90),
        Job("word edits / rapidfuzz", split_distance, distance, 1.5, peer_pairs=8000,
            our_pairs=8000),
        Job("word error rate / jiwer", jiwer_rate, rate_ours, 5, peer_pairs=800, our_pairs=8000),
        Job("BLEU", sacrebleu_peer("BLEU", effective_order=True), bleu_ours, 20, peer_pairs=200),
        Job("chrF", sacrebleu_peer("CHRF"), chrf_ours, 30, peer_pairs=100),
        Job("chrF++", sacrebleu_peer("CHRF", word_order=2), chrf_plus_ours, 30, peer_pairs=100),
        Job("TER", sacrebleu_peer("TER"), ter_ours, 40, peer_pairs=4, our_pairs=200),
        Job("SQuAD EM + F1", squad_script, squad_ours, 10, peer_pairs=1000, our_pairs=8000),
        Job("exact match / map(eq)", lambda o, t: list(map(operator.eq, o, t)), exact_ours, 0.67,
            "paragraphs", 20000, 20000, in_lists=True),
    ]  # fmt: skip
    many = {"peer_pairs": 2000, "our_pairs": 40000, "data": "shorts", "bar": 0.0}
    shorts = [job._replace(**many) for job in rows if "plain" not in job.name and job.name != "TER"]
    return [*rows, *shorts]


# ---- measuring


def measure(job: Job, rounds: int) -> tuple[float, float, float]:
    """Pairs per CPU second of the peer and of ours, and the largest difference."""
    outputs, targets = data(job.data, max(job.peer_pairs, job.our_pairs))
    ours_targets: list[Any] = [[t] for t in targets] if job.in_lists else targets
    sides = ((job.peer, job.peer_pairs, targets), (job.ours, job.our_pairs, ours_targets))
    best = [float("inf")] * 2
    for _ in range(rounds):
        for side, (score, count, wanted) in enumerate(sides):
            some, goals = outputs[:count], wanted[:count]
            start = time.process_time()
            score(some, goals)
            best[side] = min(best[side], (time.process_time() - start) / count)
    few = min(job.peer_pairs, job.our_pairs)
    theirs, ours = (np.asarray(s(outputs[:few], t[:few]), float) for s, _, t in sides)
    return 1 / best[0], 1 / best[1], float(np.abs(ours - theirs).max())


def plainly(answers: Any, metrics: Sequence[str]) -> list[bool]:
    """Exact match as a few lines of Python would have it."""
    wanted = [given[0] for given in answers["targets"].to_list()]
    return list(map(operator.eq, answers["output"].to_list(), wanted))


def table(rounds: int) -> None:
    """From a table of answers: the whole of `score` against plain Python on the same columns."""
    import polars as pl

    from saltus.metrics.score import score
    from saltus.tables import Responses, conform

    for kind, count in (("shorts", 200_000), ("paragraphs", 20_000)):
        outputs, targets = data(kind, count)
        texts = pl.DataFrame({"output": outputs, "targets": [[t] for t in targets]})
        keys = {"model": pl.lit("m"), "task": pl.lit("t"), "sample": pl.lit(0, pl.Int64)}
        item = pl.int_range(count).cast(pl.String)
        answers = conform(texts.with_columns(**keys, item=item), Responses)

        best = [float("inf")] * 2
        for _ in range(rounds):
            for side, job in enumerate((plainly, score)):
                start = time.process_time()
                job(answers, ["exact_match"])
                best[side] = min(best[side], time.process_time() - start)
        rates = [count / seconds for seconds in best]
        print(f"exact match from a table, {kind}: {rates[0]:,.0f} plainly, {rates[1]:,.0f} scored "
              f"per CPU second: x{rates[1] / rates[0]:.2f}")  # fmt: skip


def serial(rounds: int) -> None:
    """CPU time outside the part that runs without the interpreter's lock, and Amdahl's law."""
    from saltus.kernels import compiled

    outputs, targets = data("paragraphs", 20_000)
    count, inside = compiled.count, [0.0]

    def counted(*arguments: Any) -> None:
        start = time.thread_time()
        count(*arguments)
        inside[0] += time.thread_time() - start

    compiled.count, compiled._cores = counted, lambda: 1
    shares = []
    for _ in range(rounds):
        inside[0], start = 0.0, time.process_time()
        compiled.rouge(outputs, targets)
        shares.append(1 - inside[0] / (time.process_time() - start))
    share = min(shares)
    compiled.count = count
    print(f"share of CPU time under the lock, ROUGE: {share:.3f}: two threads can give "
          f"x{2 / (1 + share):.2f} at least")  # fmt: skip


def threads(rounds: int) -> None:
    """Wall time of one thread over that of two: means little unless the machine is idle."""
    from saltus.kernels import compiled

    outputs, targets = data("paragraphs", 20_000)
    best = {}
    for _ in range(rounds):
        for count in (1, 2):
            compiled._cores = lambda count=count: count  # type: ignore[assignment,misc]
            start = time.perf_counter()
            compiled.rouge(outputs, targets)
            best[count] = min(best.get(count, float("inf")), time.perf_counter() - start)
    print(f"two threads over one, ROUGE: x{best[1] / best[2]:.2f} (bar x1.7, idle machine)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", action="store_true", help="only how two threads scale")
    parser.add_argument("--table", action="store_true", help="only exact match from a table")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if options.table:
        table(options.rounds)
        return
    if options.threads:
        serial(options.rounds)
        threads(options.rounds)
        return
    print(f"compiled: {kernels.COMPILED}")
    print(f"{'job':32}{'data':12}{'peer/s':>10}{'ours/s':>12}{'ratio':>8}{'bar':>7}  difference")
    for job in jobs():
        if options.only in job.name:
            peer, ours, difference = measure(job, options.rounds)
            ratio = ours / peer
            verdict = "" if ratio >= job.bar and difference == 0.0 else "  BELOW THE BAR"
            print(f"{job.name:32}{job.data:12}{peer:10,.0f}{ours:12,.0f}{ratio:8.1f}{job.bar:7.1f}"
                  f"  {difference}{verdict}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
