"""The recogniser's training, which needs the extra ``starter``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.starter.material import EAR, write_speech_set

torch = pytest.importorskip("torch", reason="the extra 'starter' is not installed")

from scripts.starter.stt import batches  # noqa: E402
from scripts.starter.stt import export as stt_export  # noqa: E402
from scripts.starter.stt import train as stt_train  # noqa: E402
from scripts.starter.stt.batches import IGNORED, Maker, Options, swapped  # noqa: E402
from scripts.starter.stt.decoder import DecoderPlan, Heard, Weights, hear, train_decoder  # noqa: E402
from scripts.starter.stt.model import Attention, MicroWhisper  # noqa: E402
from scripts.starter.stt.model import Shape as EarShape  # noqa: E402
from scripts.starter.stt.recipe import Recipe  # noqa: E402
from scripts.starter.stt.restore import read_variables, restore_pieces  # noqa: E402
from scripts.starter.stt.restore import restore as restore_ear  # noqa: E402
from scripts.starter.stt.train import (  # noqa: E402
    Plan,
    build_model,
    grow,
    keep_of_start,
    load_start,
    prepare_inventory,
    train,
    widen,
)
from scripts.starter.stt.vocabulary import Vocabulary, genuine, load_pieces, save_pieces  # noqa: E402


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted on Linux")
def test_features_are_made_in_one_thread_whatever_the_number_of_cores() -> None:
    program = """
import os
from scripts.starter.stt.features import log_mel
import numpy as np
log_mel(np.ones(16000, np.float32))
print(len(os.listdir("/proc/self/task")))
"""
    left = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-c", program]
    root = Path(__file__).parents[2]
    threads = subprocess.run(command, cwd=root, env=left, check=True, capture_output=True).stdout
    assert int(threads) == 1


def test_a_recogniser_that_grows_by_layers_hears_as_before_until_it_is_trained() -> None:
    torch.manual_seed(3)
    sizes = {"n_tok": 20, "n_char": 5, "n_phone": 5, "d": 32, "h": 2}
    small, large = (MicroWhisper(EarShape(**sizes, enc=layers)) for layers in (1, 3))
    mel = torch.randn(2, 80, 40)
    with torch.no_grad():
        before = small.encode(mel)
        assert not torch.allclose(large.encode(mel), before)
        large.load_state_dict(grow(large, small.state_dict()))
        assert torch.allclose(large.encode(mel), before)
    large.encode(mel).square().sum().backward()
    assert large.enc[2].fc2.weight.grad.abs().sum() > 0, "and the new layers can learn"


def test_the_shipped_recogniser_is_restored_into_a_deeper_model_but_for_what_it_lacks() -> None:
    vocabulary = Vocabulary(genuine(), restore_pieces(EAR))
    variables = read_variables(EAR / "model.bin")
    enc, dec = (
        sum(f"{side}/layer_{at}/ffn/layer_norm/gamma" in variables for at in range(20))
        for side in ("encoder", "decoder")
    )
    shape = EarShape(len(vocabulary.rows), n_char=5, n_phone=5, enc=enc + 1, dec=dec)
    deeper = MicroWhisper(shape)
    missing = deeper.state_dict().keys() - restore_ear(EAR, deeper, vocabulary).keys()
    assert {name.split(".")[0] for name in missing} == {"ctc", "phone", "enc"}
    assert all(name.startswith(f"enc.{enc}.") for name in missing if name.startswith("enc"))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_whose_weights_are_kept_gives_the_same_as_the_fused_one(causal: bool) -> None:
    torch.manual_seed(2)
    attention, sound = Attention(32, 2), torch.randn(2, 7, 32)
    fused = attention(sound, causal=causal)
    assert attention.weights is None
    attention.keep = True
    torch.testing.assert_close(attention(sound, causal=causal), fused)
    assert attention.weights is not None
    assert attention.weights.shape == (2, 2, 7, 7)
    torch.testing.assert_close(attention.weights.sum(-1), torch.ones(2, 2, 7))


def test_a_new_token_begins_as_the_mean_of_those_that_spelt_it_and_the_others_stay() -> None:
    whisper = genuine()
    former = Vocabulary(whisper, {p: whisper.ranks[p] for p in (b" cu", b"st", b"om", b"er")})
    pieces = {p: whisper.ranks[p] for p in (b" cu", b"st", b"om", b"er", b" customer", b"\xd8")}
    now = Vocabulary(whisper, pieces)
    model = MicroWhisper(EarShape(len(now.rows), n_char=5, n_phone=5, d=32, h=2))
    table = torch.randn(len(former.rows), 32)
    wide = widen(model, table, former, now)
    (customer,), spelt = now.encode("customer") or [], former.encode("customer") or []
    assert len(spelt) == 4
    assert torch.allclose(wide[customer], table[spelt].mean(0))
    for name in ("endoftext", "ar", "nospeech"):
        assert torch.equal(wide[now.special(name)], table[former.special(name)])
    unknown = now.rows.index(pieces[b"\xd8"])
    assert torch.equal(wide[unknown], model.emb.weight[unknown]), "nothing spelt it"


def test_a_training_keeps_the_tokens_of_its_start_and_adds_the_frequent_ones_of_its_speech(
    tmp_path: Path,
) -> None:
    rows = [
        {"offset": 0, "length": 1, "lang": "en", "text": "My elephant", "engine": "flite"}
        | {"voice": "slt", "phonemes": [[0.0, "m"]]}
    ] * 20
    (tmp_path / "train1.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "train1.bin").write_bytes(b"\0\0")
    prepare_inventory(Plan(tmp_path / "work", 1.0, EAR), tmp_path)
    found, former = load_pieces(tmp_path / "work" / "pieces.json"), restore_pieces(EAR)
    assert b" elephant" not in former
    assert former.items() <= found.items()
    assert found.keys() - former.keys() <= {b" My", b" elephant"}
    assert b" elephant" in found


@pytest.mark.parametrize("checkpoint", [None, "last.pt", "2/last.pt"])
def test_an_inventory_is_that_of_a_checkpoint_or_it_is_made_again(
    checkpoint: str | None, tmp_path: Path
) -> None:
    write_speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    plan = Plan(tmp_path / "work", 1.0, EAR)
    prepare_inventory(plan, tmp_path)
    files = [plan.work / "pieces.json", plan.work / "phones.json"]
    wanted, left = [path.read_bytes() for path in files], [b"[]", b"{}"]
    for path, content in zip(files, left, strict=True):
        path.write_bytes(content)  # as a start from something else
    if checkpoint:
        (plan.work / checkpoint).parent.mkdir(exist_ok=True)
        (plan.work / checkpoint).touch()
    prepare_inventory(plan, tmp_path)
    assert [path.read_bytes() for path in files] == (left if checkpoint else wanted)


def test_a_checkpoint_in_the_working_folder_keeps_the_inventory_beside_it(tmp_path: Path) -> None:
    write_speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    first = Plan(tmp_path / "work", 1.0)
    prepare_inventory(first, tmp_path)
    pieces = first.work / "pieces.json"
    kept = dict(list(load_pieces(pieces).items())[:5])
    save_pieces(kept, pieces)
    prepare_inventory(Plan(first.work, 1.0, first.work / "kept.pt"), tmp_path)
    assert load_pieces(pieces) == kept


def test_utterances_with_rare_tokens_are_heard_one_and_a_half_times_as_often(
    tmp_path: Path,
) -> None:
    inventory, texts = tmp_path / "work", ["hello"] * 90 + ["umbrella"] * 10
    unspelt: dict[str, Any] = {"voice": "slt", "phonemes": None}
    rows = [
        {"offset": 0, "length": 1, "lang": lang, "text": text, "engine": "flite"} | unspelt
        for lang in ("en", "ar", "ru")
        for text in texts
    ]
    (tmp_path / "train1.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "train1.bin").write_bytes(b"\1\0")
    prepare_inventory(Plan(inventory, 1.0), tmp_path)
    maker = Maker(tmp_path, inventory, 5, Options())
    rare = np.mean([maker._any_row().row.text == "umbrella" for _ in range(4000)])
    assert 0.125 < rare < 0.165, "0.145: half of the time 0.1, half of the time 1 - 0.9 ** 2"


def test_a_producer_ends_when_its_trainer_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    prepare_inventory(Plan(tmp_path / "work", minutes=1), tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(batches, "parent_process", lambda: SimpleNamespace(is_alive=lambda: False))
    arguments = (tmp_path, tmp_path / "work", 1, Options(chunk=8))
    producer = Thread(
        target=batches.produce,
        args=(Queue(maxsize=1), Event(), SimpleNamespace(value=1.0), *arguments),
        daemon=True,
    )
    producer.start()
    producer.join(60)
    assert not producer.is_alive()


def test_a_share_of_the_start_is_kept_in_the_result_but_for_the_training_heads(
    tmp_path: Path,
) -> None:
    write_speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    first = Plan(tmp_path / "first", minutes=1)
    plan = Plan(tmp_path / "work", minutes=1, init=first.work / "last.pt")
    for seed, trained in enumerate((first, plan)):
        prepare_inventory(trained, tmp_path)
        torch.manual_seed(seed)
        model = build_model(trained.work)
        content = {"model": model.state_dict(), "ema": model.state_dict(), "config": model.config()}
        torch.save(content, trained.work / "last.pt")
    checkpoint = plan.work / "last.pt"
    start, end = (torch.load(p.work / "last.pt", weights_only=True) for p in (first, plan))
    kept = torch.load(keep_of_start(first.work / "last.pt", checkpoint, 0.25), weights_only=True)[
        "ema"
    ]
    for name, value in end["ema"].items():
        share = 0.0 if name.startswith(("ctc", "phone")) else 0.25
        torch.testing.assert_close(kept[name], value.lerp(start["model"][name], share))
    assert not torch.equal(kept["emb.weight"], end["ema"]["emb.weight"])


def test_a_share_of_the_start_is_kept_where_the_decoder_is_trained_alone_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(Recipe, "make_speech", lambda _: None)
    monkeypatch.setattr(Recipe, "_train_decoder", lambda *_: tmp_path / "last.pt")

    def keep(*found: Any) -> Path:
        made.append(found)
        return tmp_path / "kept.pt"

    monkeypatch.setattr(stt_train, "keep_of_start", keep)
    monkeypatch.setattr(stt_export, "export", lambda start, *_: made.append(start))
    Recipe(tmp_path, 0.0, init=EAR, decoder_minutes=1.0, keep=0.3).run()
    assert made == [(EAR, tmp_path / "last.pt", 0.3), tmp_path / "kept.pt"]


def test_a_training_whose_batches_nobody_makes_any_more_ends_with_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    plan = Plan(tmp_path / "work", minutes=1)
    prepare_inventory(plan, tmp_path)
    (tmp_path / "train1.bin").write_bytes(b"")
    with pytest.raises(RuntimeError, match="the process that makes the batches has ended"):
        train(plan, tmp_path)
    assert "empty file" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"minutes": 1, "keep": 0.25}, "expected init too"),
        ({"minutes": 0, "decoder_minutes": 1}, "expected init too"),
        ({"minutes": 0, "init": EAR}, "expected minutes or decoder_minutes"),
    ],
)
def test_a_recipe_that_lacks_a_start_or_time_says_so_before_it_makes_speech(
    wrong: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(tmp_path, **wrong).run()
    assert not list(tmp_path.iterdir())


def test_a_decoder_trained_alone_leaves_its_encoder_and_reads_again_what_that_heard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    plan = DecoderPlan(
        tmp_path / "work", minutes=0.001, init=EAR, utterances=20, together=1, frames=900
    )
    prepare_inventory(plan, tmp_path)
    first = torch.load(train_decoder(plan, tmp_path), weights_only=True)
    assert '"heard"' in capsys.readouterr().out
    model = build_model(plan.work)
    start = load_start(EAR, model, plan.work)["model"]
    moved = {name for name in start if not torch.equal(first["ema"][name], start[name])}
    moved = {name.split(".")[0] for name in moved} - {"ctc", "phone"}  # an export has none
    assert {"dec", "emb", "ln"} <= moved <= {"dec", "emb", "ln", "tpos"}

    torch.save(first | {"used": 0.0}, plan.work / "last.pt")
    (plan.work / "heard" / "partial.pt").write_bytes(b"what an interrupt left")
    went_on = torch.load(train_decoder(plan, tmp_path), weights_only=True)
    assert went_on["step"] > first["step"]
    assert "heard" not in capsys.readouterr().out


def test_what_another_encoder_heard_or_other_tokens_spelt_is_heard_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    plan = DecoderPlan(tmp_path / "work", minutes=1, utterances=9, frames=900)
    prepare_inventory(plan, tmp_path)
    model = build_model(plan.work)

    def heard() -> bool:
        hear(plan, tmp_path, model)
        return '"heard"' in capsys.readouterr().out

    assert heard() and not heard()
    with torch.no_grad():
        model.enc[0].fc2.weight += 1.0
    assert heard() and not heard()
    pieces = plan.work / "pieces.json"
    pieces.write_text(pieces.read_text() + "\n")
    assert heard() and not heard()


def test_rare_words_weigh_up_to_four_times_in_all_their_tokens_but_invented_ones_do_not() -> None:
    whisper = genuine()
    pieces = [b" the", b" cu", b"st", b"om", b"er", b".", b" some", b" Ze"]
    vocabulary = Vocabulary(whisper, {piece: whisper.ranks[piece] for piece in pieces})
    lines = {"the": 40_000 - 60, "the customer.": 6, "the some": 50, "the Ze": 4}
    said = [vocabulary.encode(text) or [] for text, count in lines.items() for _ in range(count)]
    targets = torch.tensor([[*line, *[IGNORED] * (6 - len(line))] for line in said])
    nothing = torch.zeros(len(said), 0)
    weights = Weights(vocabulary, [Heard(nothing, targets, targets, nothing)])
    common, rare, medium, name = weights.of(targets[[0, -60, -50, -1]]).tolist()
    assert common == [1.0] * 6
    assert rare == [1.0, *[4.0] * 5]
    assert medium == [1.0, 2.0, *[1.0] * 4], "the root of 0.5 % of 40 000 over 50"
    assert name == [1.0] * 6


def test_text_that_a_decoder_is_shown_wrongly_is_of_its_batch_and_nothing_else_is() -> None:
    tokens = torch.tensor([[1, 2, 3, 4, *range(100, 140)], [1, 2, 3, 4, *range(200, 240)]] * 100)
    positions = torch.full(tokens.shape, -1.0)
    positions[:, 3:] = 1.0  # one token more than the text: its end
    tokens[-1, 4:], positions[-1] = 0, -1.0  # without speech
    shown = swapped(tokens, positions, np.random.default_rng(1))
    changed = shown != tokens
    assert not changed[-1].any()
    assert not changed[:, :4].any()
    assert 0.08 < changed[:, 4:].float().mean() < 0.12
    assert 0.4 < changed.any(1).float().mean() < 0.6
    assert set(shown[changed].tolist()) <= set(tokens[:-1, 4:].flatten().tolist())


@pytest.mark.parametrize("alone", [False, True])
def test_trainings_show_the_decoder_swapped_tokens(
    alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    shown = list[Any]()
    decode = MicroWhisper.decode

    def spy(model: MicroWhisper, tokens: Any, audio: Any) -> Any:
        shown.append(tokens)
        return decode(model, tokens, audio)

    monkeypatch.setattr(MicroWhisper, "decode", spy)
    part = "decoder" if alone else "train"
    monkeypatch.setattr(f"scripts.starter.stt.{part}.swapped", lambda tokens, *_: tokens * 0 + 7)
    if alone:
        plan = DecoderPlan(
            tmp_path / "work", minutes=0.001, init=EAR, utterances=9, together=1, frames=900
        )
        prepare_inventory(plan, tmp_path)
        train_decoder(plan, tmp_path)
    else:
        whole = Plan(tmp_path / "work", minutes=0.001, frames=900)
        prepare_inventory(whole, tmp_path)
        train(whole, tmp_path)
    assert shown and all(bool((tokens == 7).all()) for tokens in shown)
