"""Screens of the answers' text: cut off, empty, refused, running on, always the same."""

from __future__ import annotations

import polars as pl

from saltus.screens.phrases import FEW, LEAST_ANSWERS, by_task, hits, names, percent, several
from saltus.screens.screen import Evidence, screen_for

CUT = ("length", "max_tokens", "max_length", "model_length")
REFUSAL = (
    r"(?i)^\W*(?:i['’]?m sorry|i am sorry|sorry,|i (?:cannot|can['’]?t|am unable to|am not able to)"
    r" (?:help|assist|answer|provide|comply|fulfil|do that|generate|create)|as an ai\b)"
)
RUNS_ON = (
    r"<\|(?:im_end|im_start|eot_id|endoftext|end_of_text|assistant|user)\|>|</s>|<eos>|<end_of_turn>"
    r"|\n\s*(?:Question|Q|Human|User|Problem|Input|Clue)\s?\d*:"
)
CONSTANT = 0.95
"""Share of one answer from which a model is said to give always the same."""
VARIED = 0.8
"""Largest share of one right answer at which always the same answer is a symptom."""
SHORT = 40
_TEXT = pl.col("output")


@screen_for(
    "Were answers cut off at the limit of tokens?",
    "lm-evaluation-harness and Inspect: stop reason `length`; a cut answer scores as wrong",
    false_alarm="none; whether a cut answer was wrong anyway is not known",
    apart=True,
)
def truncated_answers(evidence: Evidence) -> pl.DataFrame:
    """Answers whose generation ended at the limit of tokens."""
    found = hits(evidence.responses, pl.col("finish").is_in(CUT), pl.col("finish").is_not_null())
    text = (
        "answers of {} of the models are cut off at the limit of tokens ({}): {}; a cut "
        "answer may have been right, so raise the limit or leave such answers out"
    )
    return by_task(found, "warning", text)


@screen_for(
    "Are outputs empty?",
    "lm-evaluation-harness issue 443: outputs cut to nothing by a stop sequence at their start",
    false_alarm="a model that truly says nothing is found too",
    apart=True,
)
def empty_answers(evidence: Evidence) -> pl.DataFrame:
    """Outputs of nothing but white space."""
    found = hits(evidence.responses, _TEXT.str.strip_chars() == "", _TEXT.is_not_null())
    text = (
        "outputs of {} of the models are empty ({}): {}; they are scored as wrong, but a "
        "stop sequence at their start or a failed request looks the same"
    )
    return by_task(found, "warning", text)


@screen_for(
    "Did models refuse to answer?",
    "Roettger et al. 2023, XSTest, arXiv:2308.01263: refusals of harmless requests",
    false_alarm="a task whose right answer begins so; English only",
    apart=True,
)
def refused_answers(evidence: Evidence) -> pl.DataFrame:
    """Outputs that begin like a refusal."""
    found = hits(evidence.responses, _TEXT.str.contains(REFUSAL), _TEXT.is_not_null())
    text = (
        "outputs of {} of the models begin like a refusal ({}): {}; they are scored "
        "as wrong, though they tell nothing of the ability"
    )
    return by_task(found, "warning", text)


@screen_for(
    "Do outputs run on past the answer?",
    "Chat templates and missing stop sequences; lm-evaluation-harness `until`",
    false_alarm="tasks that ask for dialogues or quizzes",
    apart=True,
)
def overrunning_answers(evidence: Evidence) -> pl.DataFrame:
    """Outputs that hold end-of-turn marks or begin the next example themselves."""
    found = hits(evidence.responses, _TEXT.str.contains(RUNS_ON), _TEXT.is_not_null())
    text = (
        "outputs of {} of the models run on past the answer, with end-of-turn marks or a next "
        "question ({}): {}; stop sequences or a chat template are missing, and "
        "exact match cannot see the answer"
    )
    return by_task(found, "warning", text)


@screen_for(
    "Do some models' outputs begin with a space and others' not?",
    "lm-evaluation-harness issue 2695: one space more in the prompt, 0.5 % in place of 78.5 %",
    false_alarm="none; whether it matters depends on the scorer",
)
def leading_spaces(evidence: Evidence) -> pl.DataFrame:
    """Tasks where one model nearly always begins with white space and another hardly ever."""
    rows = (
        evidence.responses.filter(_TEXT.is_not_null() & (_TEXT != ""))
        .group_by("task", "model")
        .agg(pl.len().alias("answers"), _TEXT.str.contains(r"^\s").mean().alias("share"))
        .filter(pl.col("answers") >= LEAST_ANSWERS)
        .collect(engine="streaming")
    )
    always, never = pl.col("share") > 1 - FEW, pl.col("share") < FEW
    tasks = rows.group_by("task").agg(
        always.sum().alias("always"),
        never.sum().alias("never"),
        names("model").alias("all"),
        pl.col("model").filter(always).sort().first().alias("with"),
        pl.col("model").filter(never).sort().first().alias("without"),
    )
    return tasks.filter(pl.col("always") > 0, pl.col("never") > 0).select(
        pl.lit("note").alias("severity"),
        "task",
        pl.col("always").cast(pl.Int64).alias("count"),
        pl.format(
            "outputs of {} begin with white space and those of {} do not (such as {} and {}): "
            "prompts or chat templates differ by a space; scores here ignore it, the harness's "
            "own may not",
            several("always", "model"),
            "never",
            "with",
            "without",
        ).alias("message"),
    )


@screen_for(
    "Does a model always give the same answer?",
    "BIG-bench issue 667: a model that always says yes scores the share of yes",
    false_alarm=(
        "0 of 80 simulated families; below 1e-4 for a guesser; a weak model that truly has "
        "one answer is what is looked for"
    ),
    apart=True,
)
def constant_answers(evidence: Evidence) -> pl.DataFrame:
    """Models whose answer is the same for nearly all items although the right ones differ."""
    best = pl.col("choice_logprobs").list.arg_max().cast(pl.String)
    short = pl.when(_TEXT.str.len_chars() <= SHORT).then(_TEXT.str.strip_chars())
    answer = pl.when(pl.col("choice_logprobs").is_not_null()).then(best).otherwise(short)
    right = pl.coalesce(pl.col("target_index").cast(pl.String), pl.col("targets").list.first())
    rows = (
        evidence.responses.select("task", "model", answer.alias("answer"), right.alias("right"))
        .filter(pl.col("answer").is_not_null())
        .with_columns(
            same=pl.len().over("task", "model", "answer"),
            gold=pl.len().over("task", "model", "right"),
        )
        .group_by("task", "model")
        .agg(
            pl.len().alias("answers"),
            pl.col("same").max(),
            pl.col("gold").max(),
            pl.col("answer").sort_by("same", "answer").last(),
        )
        .collect(engine="streaming")
    )
    share = pl.col("same") / pl.col("answers")
    odd = rows.filter(
        pl.col("answers") >= LEAST_ANSWERS,
        share >= CONSTANT,
        pl.col("gold") / pl.col("answers") <= VARIED,
        pl.col("answer") != "",  # empty outputs have a screen of their own
    ).with_columns(share=share)
    tasks = odd.group_by("task").agg(
        pl.col("same").sum().cast(pl.Int64).alias("count"),
        pl.col("model").n_unique().alias("models"),
        pl.col("answer").sort().first(),
        pl.col("share").min(),
        names("model").alias("names"),
    )
    return tasks.select(
        pl.lit("warning").alias("severity"),
        "task",
        "count",
        pl.format(
            "the answer of {} of the models is always one (such as {}; {}), though the right "
            "answers differ: {}; their score is the share of that answer, and says nothing of "
            "the ability",
            "models",
            pl.format("'{}'", pl.col("answer")),
            pl.when(pl.col("share") == 1)
            .then(pl.lit("all items"))
            .otherwise(pl.format("{} of the items or more", percent(pl.col("share")))),
            "names",
        ).alias("message"),
    )


@screen_for(
    "Do the models of a family cut the same target into different tokens?",
    "A loss per token is not one measure when the tokens differ; bits per byte is",
    false_alarm="none",
)
def tokenizer_dependent_targets(evidence: Evidence) -> pl.DataFrame:
    """Tasks whose targets have other numbers of tokens in other models of one family."""
    families = evidence.models.select("model", "family").lazy()
    length = pl.col("target_logprobs").list.len()
    rows = (
        evidence.responses.filter(pl.col("target_logprobs").is_not_null())
        .select("model", "task", "item", length.alias("tokens"))
        .join(families, on="model", how="inner")
        .filter(pl.col("family").is_not_null())
        .group_by("family", "task", "item")
        .agg((pl.col("tokens").n_unique() > 1).alias("differ"))
        .group_by("family", "task")
        .agg(pl.len().alias("items"), pl.col("differ").sum().cast(pl.Int64).alias("count"))
        .collect(engine="streaming")
    )
    odd = rows.filter(pl.col("count") / pl.col("items") >= FEW)
    return odd.select(
        pl.lit("warning").alias("severity"),
        "task",
        "count",
        pl.format(
            "in family {}, {} of {} targets are cut into other numbers of tokens by other models: "
            "losses per token are not one measure; judge by bits_per_byte",
            "family",
            "count",
            "items",
        ).alias("message"),
    )
