"""What all trainings share: pace, averages, the optimiser, precision (extra ``starter``)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.starter.clock import Budget, cosine, flat_then_linear
from tests.starter.material import write_speech_set

torch = pytest.importorskip("torch", reason="the extra 'starter' is not installed")

from scripts.starter.loop import Loop, Pace  # noqa: E402
from scripts.starter.muon import orthogonalise  # noqa: E402
from scripts.starter.precision import fast_dtype, mixed_precision  # noqa: E402
from scripts.starter.stt.train import Plan, prepare_inventory, train  # noqa: E402
from scripts.starter.together import Training  # noqa: E402


def test_muon_steps_along_a_nearly_orthogonal_matrix() -> None:
    torch.manual_seed(2)
    for shape in ((40, 40), (20, 60), (60, 20)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(*shape)))
        assert 0.5 < float(values.min()) and float(values.max()) < 1.5


def test_a_loop_trains_until_its_time_is_spent_and_logs_the_means_of_what_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter(range(0, 1000, 5))
    monkeypatch.setattr("scripts.starter.clock.time.monotonic", lambda: float(next(now)))
    model = torch.nn.Linear(1, 1, bias=False)
    pace = Pace((0.1,), cosine, warm_up=1, average=0.9, longest=1.0)
    plan = Training(tmp_path, minutes=1.0, log_every=2)
    optimisers = [torch.optim.SGD(model.parameters(), 0.0)]
    loop = Loop(plan, model, optimisers, pace, {}, {"width": 1})
    shares, mended = list[float](), list[int]()

    def descend(spent: float) -> dict[str, float]:
        model.weight.sum().backward()
        shares.append(spent)
        return {"loss": len(shares)}

    loop.run(descend, lambda: mended.append(loop.step), lambda: {"check": 7.0})
    assert shares[0] == pytest.approx(5 / 60) and shares[-1] < 1.0
    assert mended == list(range(len(shares))), "after each step, before it is counted"
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (first["step"], first["loss"], first["check"]) == (2, 1.5, 7.0)
    saved = torch.load(loop.last, weights_only=True)
    assert (saved["step"], saved["config"]) == (len(shares), {"width": 1})
    assert saved["used"] >= 60
    assert saved["model"]["weight"] < saved["ema"]["weight"], "the mean follows"


def test_a_training_that_goes_on_says_so_keeps_its_average_and_needs_no_second_warm_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    plan = Plan(tmp_path / "work", minutes=0.001, frames=900)
    prepare_inventory(plan, tmp_path)
    last = train(plan, tmp_path)
    stopped = torch.load(last, weights_only=True)
    stopped["step"], stopped["used"] = 5000, 0.0
    stopped["ema"] = {name: value * 0 for name, value in stopped["ema"].items()}
    torch.save(stopped, last)
    went_on = torch.load(train(plan, tmp_path), weights_only=True)
    assert (went_on["first"], went_on["step"]) == (0, 5001)
    assert f"{last}: goes on at step 5000, after 0.0 of 0.001 minutes" in capsys.readouterr().out
    share = went_on["ema"]["emb.weight"] / went_on["model"]["emb.weight"]
    assert float(share.nanmedian()) == pytest.approx(0.006, abs=0.001), "1 - 5001 / 5031"


def test_matrices_are_multiplied_in_bfloat16_only_where_the_processor_does_it_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for found, expected in (
        ({"avx2": True, "avx512_bf16": False}, torch.float32),
        ({"avx2": True, "avx512_bf16": True}, torch.bfloat16),
        ({"neon": True, "bf16": True}, torch.bfloat16),
    ):
        fast_dtype.cache_clear()
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        with mixed_precision("cpu"):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected
    monkeypatch.undo()
    fast_dtype.cache_clear()


def test_a_budget_counts_all_that_is_computed_and_of_a_pause_twenty_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, computed = [100.0], [7.0]
    monkeypatch.setattr("scripts.starter.clock.time.monotonic", lambda: now[0])
    monkeypatch.setattr("scripts.starter.clock.time.process_time", lambda: computed[0])
    budget = Budget(5.0, used=30.0)
    for passed, worked, used in ((6, 5, 36), (3600, 0, 56), (64, 60, 120), (3660, 60, 200)):
        now[0] += passed
        computed[0] += worked
        assert budget.tick() == pytest.approx(used / 300)
    now[0] += 100
    computed[0] += 190  # on two cores
    assert budget.tick() == 1.0


def test_learning_rates_warm_up_and_fall_to_two_percent() -> None:
    for schedule in (cosine, flat_then_linear):
        assert schedule(0.0, 0, 100) == pytest.approx(0.01)
        assert schedule(0.0, 500, 100) == pytest.approx(1.0)
        assert schedule(1.0, 500, 100) == pytest.approx(0.02)
    assert flat_then_linear(0.39, 500, 100) == 1.0
