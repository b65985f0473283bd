"""Several trainings of one model beside one another (extra ``starter``)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra 'starter' is not installed")

from torch.multiprocessing import ProcessRaisedException  # noqa: E402

from scripts.starter.llm.train import Plan as ChatPlan  # noqa: E402
from scripts.starter.llm.train import prepare_tokenizer  # noqa: E402
from scripts.starter.llm.train import train as train_chat  # noqa: E402
from scripts.starter.stt.model import MicroWhisper  # noqa: E402
from scripts.starter.stt.model import Shape as EarShape  # noqa: E402
from scripts.starter.stt.train import Plan, prepare_inventory, train  # noqa: E402
from scripts.starter.together import (  # noqa: E402
    Peer,
    draws_of,
    require_same_processes,
    train_together,
)
from tests.starter.material import CHAT, write_speech_set  # noqa: E402


def test_a_training_goes_halfway_to_its_peer_once_for_each_of_the_peers_checkpoints(
    tmp_path: Path,
) -> None:
    model = MicroWhisper(EarShape(n_tok=20, n_char=5, n_phone=5, d=32, h=2, enc=1, dec=1))
    weight, checkpoint = model.ctc.weight.detach(), tmp_path / "last.pt"
    torch.nn.init.zeros_(weight)
    peer = Peer(checkpoint)
    peer.approach(model)
    assert float(weight.max()) == 0.0, "there is no peer yet"
    ones = {name: torch.ones_like(value) for name, value in model.state_dict().items()}
    for written, expected in ((1, 0.5), (2, 0.75)):
        torch.save({"model": ones}, checkpoint)
        os.utime(checkpoint, (written, written))
        for _ in range(2):
            peer.approach(model)
            assert float(weight.min()) == float(weight.max()) == expected


def _train_two(plan: Plan, data: Path) -> Path:
    prepare_inventory(plan, data)
    return train_together(partial(train, data=data), plan, 2, ["pieces.json", "phones.json"])


def test_two_processes_train_on_other_batches_and_end_in_the_mean_of_both(tmp_path: Path) -> None:
    write_speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    plan = Plan(tmp_path / "work", minutes=0.001, frames=900)
    mean = torch.load(_train_two(plan, tmp_path), weights_only=True)
    both = [
        torch.load(tmp_path / "work" / name / "last.pt", weights_only=True) for name in ("1", "2")
    ]
    assert min(state["step"] for state in both) > 0
    one, two = (state["ema"]["emb.weight"] for state in both)
    assert not torch.equal(one, two)
    assert torch.allclose(mean["model"]["emb.weight"], (one + two) / 2)
    require_same_processes(plan.work, 2)
    for other in (1, 3):
        with pytest.raises(ValueError, match="holds a training by 2 processes"):
            require_same_processes(plan.work, other)


def test_two_processes_train_the_chat_model_from_its_file_and_end_in_the_mean_of_both(
    tmp_path: Path,
) -> None:
    plan = ChatPlan(tmp_path / "work", minutes=0.001, init=CHAT)
    words = prepare_tokenizer(plan)
    last = train_together(train_chat, plan, 2, [words.name])
    mean, *both = (
        torch.load(path, weights_only=True)["ema"]["emb.weight"]
        for path in (last, *(plan.work / name / last.name for name in ("1", "2")))
    )
    assert not torch.equal(*both)
    assert torch.allclose(mean, sum(both) / 2)


def test_an_interrupt_while_the_mean_is_written_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        torch.save({"ema": {"weight": torch.ones(1)}}, tmp_path / name / "last.pt")

    def cut_short(_: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    trained = SimpleNamespace(processes=[], join=lambda: True)
    monkeypatch.setattr(torch.multiprocessing, "spawn", lambda *_, **__: trained)
    monkeypatch.setattr(torch, "save", cut_short)
    with pytest.raises(KeyboardInterrupt):
        train_together(train_chat, ChatPlan(tmp_path, minutes=1), 2, [])
    assert not (tmp_path / "last.pt").exists(), "the next start would fail to read it"


def test_a_process_that_fails_ends_the_whole_training_with_its_error(tmp_path: Path) -> None:
    write_speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    plan = Plan(tmp_path / "work", minutes=2)
    broken = plan.work / "2" / "last.pt"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"cut off")
    with pytest.raises(ProcessRaisedException, match="UnpicklingError"):
        _train_two(plan, tmp_path)
    assert not (plan.work / "1" / "last.pt").exists(), "ended before its time"


_BACKGROUND_TRAINING = """
import signal, sys, time
from pathlib import Path
from scripts.starter.together import Training, train_together

def train(plan):
    (plan.work / "begun").touch()
    time.sleep(60)
    (plan.work / "ended").touch()

if __name__ == "__main__":
    # As a shell does for a background job, and not for another.
    handled = signal.SIG_IGN if sys.argv[2] == "ignored" else signal.default_int_handler
    signal.signal(signal.SIGINT, handled)
    train_together(train, Training(Path(sys.argv[1]), 1.0), 2, [])
"""


@pytest.mark.parametrize(
    ("interrupts", "ended_by"), [("ignored", signal.SIGKILL), ("heard", signal.SIGINT)]
)
def test_processes_end_when_their_training_alone_is_ended(
    interrupts: str, ended_by: signal.Signals, tmp_path: Path
) -> None:
    script = tmp_path / "training.py"
    script.write_text(_BACKGROUND_TRAINING)
    command = [sys.executable, str(script), str(tmp_path), interrupts]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(root)}, stderr=subprocess.PIPE
    ) as training:
        works = [tmp_path / "1", tmp_path / "2"]
        deadline = time.monotonic() + 60
        while not all((work / "begun").exists() for work in works):
            assert training.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        training.send_signal(ended_by)
        # The processes hold the pipe open as long as they live.
        _, _ = training.communicate(timeout=30)
    assert not any((work / "ended").exists() for work in works)


def test_draws_of_several_processes_are_none_that_one_training_would_be_given() -> None:
    drawn = [draws_of(plan, 3) for plan in (0, 1, 2)]
    assert len({draw for draws in drawn for draw in draws}) == 9
    assert all(draw >= 1000 for draws in drawn for draw in draws)
