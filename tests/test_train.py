"""Training: schedules, resumption to the same bits, kills, and the audit folder it writes."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="training needs the extra: saltus[train]")

from saltus import store  # noqa: E402
from saltus.cli import main  # noqa: E402
from saltus.errors import SaltusError  # noqa: E402
from saltus.models.family import FAMILIES, Preset  # noqa: E402
from saltus.runners import training_run  # noqa: E402
from saltus.runners.train import train  # noqa: E402
from saltus.runners.training_run import (  # noqa: E402
    STATE,
    Run,
    learning_rate,
    train_run,
    view_steps,
)
from saltus.tables import Models, Responses, conform  # noqa: E402

TINY = Preset(
    sizes=(4, 6), seeds=2, steps=40, batch=16, items=30, checkpoints=3, learning_rate=5e-3
)
RUN = Run("multiplication", TINY, 4, 1)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def state_of(folder: Path) -> dict:
    return torch.load(folder / STATE, weights_only=True)


def same_state(one: dict, other: dict) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_state(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_state, one, other))
    return bool(torch.equal(one, other)) if torch.is_tensor(one) else one == other


def same_answers(one: Path, other: Path) -> bool:
    names = sorted(path.name for path in one.glob("answers-*"))
    assert names == sorted(path.name for path in other.glob("answers-*"))
    return all(pl.read_parquet(one / n).equals(pl.read_parquet(other / n)) for n in names)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    torch.set_num_threads(1)
    train_run(RUN, folder)
    return folder


def test_checkpoints_are_spaced_in_the_logarithm_and_end_at_the_end() -> None:
    steps = view_steps(2500, 10)
    assert steps[-1] == 2500
    assert len(steps) == 10
    ratios = np.diff(np.log(steps))
    np.testing.assert_allclose(ratios, ratios.mean(), atol=0.02)
    assert view_steps(3, 8) == [1, 2, 3]
    assert view_steps(7, 1) == [7]


def test_the_learning_rate_warms_up_and_falls_as_a_cosine() -> None:
    rates = [learning_rate(0.5, step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.005, rel=1e-3)
    assert max(rates) == pytest.approx(0.5, rel=0.03)
    middle = 0.5 * (0.05 + 0.95 * (1 + math.cos(math.pi / 2)) / 2)
    assert rates[500] == pytest.approx(middle)
    assert rates[-1] == pytest.approx(0.025, rel=1e-3)


@pytest.mark.parametrize("stop", [1, 7, 20, 39])
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, whole: Path, stop: int) -> None:
    class Stopped(BaseException):
        pass

    def tell(done: int) -> None:
        if done == stop:
            raise Stopped

    with pytest.raises(Stopped):
        train_run(RUN, tmp_path, tell)
    seen: list[int] = []
    torch.rand(3)  # the random state at the resumption is not that of the run
    train_run(RUN, tmp_path, seen.append)
    lost = stop + 1 - seen[0]
    assert 0 <= lost <= TINY.steps / training_run.SAVES + 1
    assert same_state(state_of(tmp_path), state_of(whole))
    assert same_answers(tmp_path, whole)


def test_a_run_that_is_done_does_nothing(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.iterdir()}
    train_run(RUN, whole)
    assert before == {path: path.stat().st_mtime_ns for path in whole.iterdir()}


def test_it_agrees_with_a_plain_loop(whole: Path) -> None:
    learner = FAMILIES["multiplication"].build(RUN.size, RUN.seed, TINY)
    weights = list(learner.module.parameters())
    decayed = [weight for weight in weights if weight.ndim > 1]
    kept = [weight for weight in weights if weight.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": kept, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
    )
    for step in range(TINY.steps):
        warm = min(1.0, (step + 1) / 4)
        cosine = 0.05 + 0.95 * (1 + math.cos(math.pi * step / TINY.steps)) / 2
        for group in optimizer.param_groups:
            group["lr"] = learner.learning_rate * warm * cosine
        loss = learner.loss(step)
        gradients = torch.autograd.grad(loss, weights)
        norm = torch.sqrt(sum((gradient**2).sum() for gradient in gradients))
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient * min(1.0, float(1.0 / (norm + 1e-6)))
        optimizer.step()
    trained = pl.read_parquet(whole / f"answers-{TINY.steps}.parquet")["target_logprobs"]
    plain = learner.respond()["target_logprobs"]
    np.testing.assert_allclose(trained.explode(), plain.explode(), atol=1e-2)


def test_a_damaged_state_is_one_clear_line(tmp_path: Path, whole: Path) -> None:
    (tmp_path / STATE).write_bytes((whole / STATE).read_bytes()[:-200])
    with pytest.raises(SaltusError, match=r"state\.pt is not a state of this run .* remove it"):
        train_run(RUN, tmp_path)
    other = replace(RUN, size=6)
    (tmp_path / STATE).write_bytes((whole / STATE).read_bytes())
    with pytest.raises(SaltusError, match="not a state of this run"):
        train_run(other, tmp_path)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pwned",)


def test_a_state_is_never_run_as_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"step": Evil()}, tmp_path / STATE)
    with pytest.raises(SaltusError, match="not a state of this run"):
        train_run(RUN, tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_the_folder_is_one_that_audit_reads(tmp_path: Path) -> None:
    shares: list[tuple[str, float | None]] = []
    out = tmp_path / "family"
    assert train("multiplication", TINY, out, workers=1, progress=lambda *seen: shares.append(seen))
    models, responses = store.load(out, Models), store.load(out, Responses)
    conform(models, Models)
    conform(responses, Responses)
    steps = view_steps(TINY.steps, TINY.checkpoints)
    assert models.height == 2 * 2 * len(steps)
    assert responses.height == models.height * TINY.items
    assert models["model"].n_unique() == models.height
    finals = models.filter(pl.col("step").is_null())
    assert sorted(finals["model"]) == [
        f"multiplication-width{size}@seed{seed}" for size in (4, 6) for seed in (0, 1)
    ]
    assert set(models["step"].drop_nulls()) == set(steps[:-1])
    assert models["loss"].null_count() == 0
    done = models["step"].fill_null(TINY.steps)
    for size, rows in models.with_columns(done=done).partition_by("params", as_dict=True).items():
        per_step = rows["flops"] / rows["done"]
        assert per_step.max() == pytest.approx(per_step.min()), size
        assert (rows["tokens"] / rows["done"]).unique().to_list() == [TINY.batch * 10.0]
    loss = responses.group_by("model").agg(-pl.col("target_logprobs").explode().mean())
    joined = models.join(loss, on="model")
    np.testing.assert_allclose(joined["loss"], joined["target_logprobs"])
    assert responses.group_by("model").agg(pl.col("item").sort())["item"].n_unique() == 1
    assert shares[-1][1] == 1.0 or ("train", 1.0) in shares
    assert not (tmp_path / ".family.training").exists()
    assert not train("multiplication", TINY, out)  # nothing has changed


def test_folders_that_hold_something_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SaltusError, match="holds something else"):
        train("multiplication", TINY, tmp_path)
    place = tmp_path / ".out.training"
    place.mkdir()
    (place / "training.json").write_text("{}")
    with pytest.raises(SaltusError, match="begun with other settings"):
        train("multiplication", TINY, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_commands_do_not_train_in_one_folder(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl", reason="the lock needs fcntl")
    place = tmp_path / ".out.training"
    place.mkdir()
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SaltusError, match="another process is training"):
            train("multiplication", TINY, tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["multiplicaton"], "no family named 'multiplicaton'; did you mean multiplication?"),
        (["multiplication", "--preset", "tini"], "no preset of multiplication named 'tini'"),
    ],
)
def test_faults_are_one_clear_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["train", *arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert message in result.output
    assert result.output.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_without_torch_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch': raise ModuleNotFoundError(name)\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'torch' else real(n, *a)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from saltus.cli import main; main(['train', 'addition', '--out', sys.argv[1]])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True
    )
    assert run.returncode == 1
    assert run.stderr == "Error: training needs PyTorch: pip install 'saltus[train]'\n"


DRIVER = """
import os, shutil, signal, sys, time
from pathlib import Path
import numpy as np
import torch
from saltus.models.family import Preset
from saltus.runners.train import train

torch.set_num_threads(1)
out, preset = Path(sys.argv[1]), Preset(**eval(sys.argv[2]))
place, rng = out.with_name(f".{out.name}.training"), np.random.default_rng(0)
for kill in range(21):
    child = os.fork()
    if child == 0:
        train("multiplication", preset, out, workers=1)
        os._exit(0)
    if kill < 20:
        time.sleep(rng.uniform(0.0, 0.6))
        os.kill(child, signal.SIGKILL)
    ended = os.waitpid(child, 0)[1]
    print(kill, ended, out.exists(), flush=True)
    if place.exists():
        shutil.copytree(place, out.parent / f"after-{kill}")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_twenty_kills_lose_no_saved_work_and_break_nothing(tmp_path: Path) -> None:
    preset = replace(TINY, steps=240)
    words = [sys.executable, "-c", DRIVER, str(tmp_path / "killed"), repr(asdict(preset))]
    run = subprocess.run(words, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    ends = [line.split() for line in run.stdout.splitlines()]
    assert len(ends) == 21
    assert ends[-1][1:] == ["0", "True"]  # the last one was left to end
    killed = [int(end) == signal.SIGKILL for _, end, _ in ends]
    assert sum(killed) >= 10, "the runs were too quick to be killed"
    before: dict[str, int] = {}
    for kill in range(20):
        place = tmp_path / f"after-{kill}"
        after = {file.parent.name: state_of(file.parent)["step"] for file in place.glob("*/*.pt")}
        assert all(after[name] >= step for name, step in before.items()), "saved work was lost"
        assert all(pl.read_parquet(f).height == TINY.items for f in place.glob("*/answers-*"))
        before = after if place.exists() else {}
    calm = tmp_path / "calm"
    train("multiplication", preset, calm, workers=1)
    for table in (Models, Responses):
        assert store.load(tmp_path / "killed", table).equals(store.load(calm, table))
    assert not (tmp_path / ".killed.training").exists()


def test_side_by_side_and_one_after_the_other_are_the_same(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    train("multiplication", replace(TINY, seeds=1), one, workers=1)
    train("multiplication", replace(TINY, seeds=1), two, workers=2)
    for table in (Models, Responses):
        assert store.load(one, table).equals(store.load(two, table))


def test_a_fault_in_a_process_is_one_clear_line(tmp_path: Path, whole: Path) -> None:
    place = tmp_path / ".out.training"
    (place / "4-0").mkdir(parents=True)
    (place / "4-0" / STATE).write_bytes(b"nothing")
    with pytest.raises(SaltusError, match="not a state of this run"):
        train("multiplication", TINY, tmp_path / "out", workers=2)
    assert not (tmp_path / "out").exists()
    (place / "4-0" / STATE).unlink()
    assert train("multiplication", TINY, tmp_path / "out", workers=1)
