"""The trainings' moving parts. They need the extra ``starter``, which the gateway does without."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scripts.starter import __main__ as driver
from scripts.starter import corpus
from scripts.starter.clock import Budget, cosine, flat_then_linear

torch = pytest.importorskip("torch", reason="the extra 'starter' is not installed")
tokenizers = pytest.importorskip("tokenizers")

from torch import Tensor  # noqa: E402
from torch.multiprocessing import ProcessRaisedException  # noqa: E402

from scripts.starter.llm.batches import (  # noqa: E402
    Batch,
    CallBatches,
    collate,
    encode_call,
    encode_drill,
    packed,
    recall_batch,
)
from scripts.starter.llm.model import Llama, Shape, attend, plant_copying  # noqa: E402
from scripts.starter.llm.restore import restore, restore_tokenizer  # noqa: E402
from scripts.starter.llm.tool_calls import tool_calls  # noqa: E402
from scripts.starter.llm.train import Plan as ChatPlan  # noqa: E402
from scripts.starter.llm.train import load as load_chat  # noqa: E402
from scripts.starter.llm.train import loss_of, loss_of_rows, prepare_tokenizer  # noqa: E402
from scripts.starter.llm.train import train as train_chat  # noqa: E402
from scripts.starter.loop import Loop, Pace  # noqa: E402
from scripts.starter.muon import orthogonalise  # noqa: E402
from scripts.starter.precision import fast_dtype, mixed_precision  # noqa: E402
from scripts.starter.stt import batches  # noqa: E402
from scripts.starter.stt import export as stt_export  # noqa: E402
from scripts.starter.stt import train as stt_train  # noqa: E402
from scripts.starter.stt.batches import IGNORED, Maker, Options, swapped  # noqa: E402
from scripts.starter.stt.dataset import Sizes, make_set  # noqa: E402
from scripts.starter.stt.decoder import DecoderPlan, Heard, Weights, train_decoder  # noqa: E402
from scripts.starter.stt.model import Attention, MicroWhisper  # noqa: E402
from scripts.starter.stt.model import Shape as EarShape  # noqa: E402
from scripts.starter.stt.recipe import Recipe  # noqa: E402
from scripts.starter.stt.restore import read_variables, restore_pieces  # noqa: E402
from scripts.starter.stt.restore import restore as restore_ear  # noqa: E402
from scripts.starter.stt.synthesis import _ESPEAK_NAMES, flite  # noqa: E402
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
from scripts.starter.stt.vocabulary import Vocabulary, Whisper, load_pieces  # noqa: E402
from scripts.starter.together import (  # noqa: E402
    Peer,
    Training,
    draws_of,
    require_same_processes,
    train_together,
)
from scripts.starter.tts.alignment import _FLITE  # noqa: E402
from scripts.starter.tts.teachers import Teacher  # noqa: E402

MODELS = Path(__file__).parents[2] / "models" / "starter"
CHAT, EAR = MODELS / "llm" / "model.gguf", MODELS / "stt"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    restore_tokenizer(CHAT, path)
    return tokenizers.Tokenizer.from_file(str(path))


def _right_copies(model: Llama) -> float:
    batch = recall_batch(random.Random(3), model.shape.vocab, rows=4)
    with torch.no_grad():
        best = model.logits(model.hidden(batch.ids[:, :-1])).argmax(-1)
    counted = batch.weights[:, 1:] > 0
    return float((best == batch.ids[:, 1:])[counted].float().mean())


def test_planted_heads_copy_nonsense_before_any_training() -> None:
    torch.manual_seed(1)
    untrained = Llama(Shape())
    assert _right_copies(untrained) < 0.05
    plant_copying(untrained, seed=5)
    assert _right_copies(untrained) > 0.9


def test_the_shipped_chat_model_still_copies_nonsense_when_restored_from_its_file() -> None:
    model = Llama(Shape())
    model.load_state_dict(load_chat(CHAT, model)["model"])
    assert _right_copies(model) > 0.9


def test_attention_sees_the_past_only_and_a_profile_that_all_calls_share() -> None:
    torch.manual_seed(3)
    q, k, v = torch.randn(3, 2, 4, 9, 16)
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(attend(q, k, v), wanted)

    model = Llama(Shape())
    profile, calls = torch.randint(5, 4096, (1, 20)), torch.randint(5, 4096, (3, 30))
    whole = torch.cat((profile.expand(3, -1), calls), 1)
    with torch.no_grad():
        apart, together = model.hidden(calls, profile), model.hidden(whole)[:, 20:]
    torch.testing.assert_close(apart, together, rtol=1e-4, atol=1e-4)


def test_a_chat_model_that_grows_by_layers_answers_as_before_until_it_is_trained() -> None:
    shipped = restore(CHAT)
    layers = 1 + max(int(name.split(".")[1]) for name in shipped if name.startswith("blocks."))
    small, large = Llama(Shape(layers=layers)), Llama(Shape(layers=layers + 2))
    small.load_state_dict(shipped)
    plant_copying(large, seed=5)
    large.load_state_dict(load_chat(CHAT, large)["model"])
    ids = torch.randint(5, large.shape.vocab, (1, 30))
    with torch.no_grad():
        torch.testing.assert_close(large.hidden(ids), small.hidden(ids))
    with pytest.raises(ValueError, match=f"has {layers} layers, expected at most {layers - 1}"):
        load_chat(CHAT, Llama(Shape(layers=layers - 1)))
    large.hidden(ids).square().sum().backward()
    assert large.blocks[-1].down.weight.grad.abs().sum() > 0, "and the new layers can learn"


def test_a_stopped_training_goes_on_with_as_many_layers_as_it_began_with(tmp_path: Path) -> None:
    plan = ChatPlan(tmp_path, minutes=1, init=CHAT, layers=2)
    prepare_tokenizer(plan)
    stopped = Llama(Shape(layers=1))
    content = {"model": stopped.state_dict(), "config": stopped.config()}
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(ValueError, match=r"last\.pt has 1 layers, expected 2"):
        train_chat(plan)


def test_tool_calls_of_the_shipped_chat_model_are_never_malformed_when_bound() -> None:
    found = asyncio.run(tool_calls(CHAT, count=6))
    assert found["malformed, bound"] == "0/6"
    assert found["malformed, alone"].endswith("/6")


@pytest.mark.parametrize("lang", corpus.LANGS)
def test_a_name_at_the_start_of_a_sentence_is_the_same_tokens_as_in_the_reply(
    lang: str, tokenizer: Any
) -> None:
    name = {"en": "Helen Brinford", "ar": "سارة البكري", "ru": "Денис Титов"}[lang]
    messages = [corpus.Message("user", f"{name}."), corpus.Message("assistant", f"Yes, {name}.")]
    ids, weights = encode_call(tokenizer, messages)
    wanted = tokenizer.encode(f" {name}", add_special_tokens=False).ids
    found = [at for at in range(len(ids)) if ids[at : at + len(wanted)] == wanted]
    assert len(found) == 2
    assert sum(weights[: ids.index(1, 1)]) == 0, "what the caller says carries no loss"


def test_a_drill_counts_its_last_reply_only_and_nothing_that_it_does_not_tell(
    tokenizer: Any,
) -> None:
    reply = "To confirm, filling on Monday at six for Helen Brin. Is that right?"
    excerpt = [
        corpus.Message("assistant", "May I have your name, please?"),
        corpus.Message("user", "it's Helen Brin"),
        corpus.Message("assistant", reply, ["filling", "on Monday", "at six", "Helen Brin"]),
    ]
    ids, weights = encode_drill(tokenizer, excerpt)
    counted = tokenizer.decode([i for i, weight in zip(ids, weights, strict=True) if weight])
    assert counted == "To confirm, for Helen Brin. Is that right?"
    first = tokenizer.encode(" Helen", add_special_tokens=False).ids[0]
    assert max(weights) == weights[len(ids) - 1 - ids[::-1].index(first)], "the name's first token"


def _counted(batch: Batch) -> Tensor:
    """Stands in for the loss of a model: the longer the replies of a row, the worse."""
    return (batch.weights > 0).sum(1).float()


def test_of_all_questions_drawn_those_are_put_that_the_model_answers_worst(tokenizer: Any) -> None:
    judged: list[Tensor] = []

    def judge(batch: Batch) -> Tensor:
        judged.append(_counted(batch))
        return judged[-1]

    data = CallBatches(tokenizer, random.Random(3), 2048, judge, pool=20)
    data.next()
    judged.clear()
    put = _counted(data.next()).tolist()
    for batch in data._waiting["questions"]:
        put += _counted(batch).tolist()
    drawn = torch.cat(judged).sort(descending=True).values.tolist()
    assert len(drawn) == 3 * len(put) == 60
    assert sorted(put, reverse=True) == drawn[:20] != drawn[-20:]


def test_the_loss_of_a_batch_is_the_mean_of_its_rows_by_the_weights_in_them(tokenizer: Any) -> None:
    rng, model = random.Random(4), Llama(Shape(layers=2))
    calls = [corpus.question_call(lang, rng) for lang in corpus.LANGS]
    batch = collate([encode_call(tokenizer, call.messages[1:]) for call in calls])
    rows, weights = loss_of_rows(model, batch), batch.weights.sum(1)
    mean = loss_of(model, batch).item()
    assert (rows @ weights / weights.sum()).item() == pytest.approx(mean, rel=1e-3)
    last = loss_of(model, Batch(None, batch.ids[2:], batch.weights[2:])).item()
    assert last != pytest.approx(mean, rel=1e-3) and rows[2].item() == pytest.approx(last, rel=1e-3)


def test_two_of_five_batches_ask_the_clinic_about_itself_and_share_its_profile(
    tokenizer: Any,
) -> None:
    data = CallBatches(tokenizer, random.Random(3), 2048, _counted, pool=12)
    for turn in range(10):
        batch = data.next()
        told = tokenizer.decode(batch.ids[batch.weights > 0].tolist(), skip_special_tokens=False)
        if turn % 5 in (1, 3):
            assert batch.prefix is not None
            assert "Pearl Dental Clinic" in tokenizer.decode(batch.prefix[0].tolist())
            assert "tool_call" not in told
        assert batch.ids.numel() <= 2048 and (batch.weights > 0).any()


@pytest.mark.parametrize(("init", "tokens"), [(None, 2048), (CHAT, 8192)])
def test_a_chat_model_goes_on_in_larger_batches_than_it_began_with(
    init: Path | None, tokens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Spy(CallBatches):
        def __init__(self, *args: Any) -> None:
            asked.append(args[2])
            super().__init__(args[0], args[1], 512, args[3], pool=12)

    monkeypatch.setattr("scripts.starter.llm.train.CallBatches", Spy)
    restore_tokenizer(CHAT, tmp_path / "tokenizer.json")
    train_chat(ChatPlan(tmp_path, minutes=0.001, init=init))
    assert asked == [tokens]


@pytest.mark.parametrize(("head", "back"), [(0, 1), (4, 2), (5, 3)])
def test_a_planted_head_looks_so_many_tokens_back_wherever_it_stands(head: int, back: int) -> None:
    torch.manual_seed(1)
    model = Llama(Shape())
    plant_copying(model, seed=5)
    ids = torch.randint(5, model.shape.vocab, (1, 300))
    with torch.no_grad():
        embedded = model.emb(ids)
        q, k, _ = model.blocks[0].project(embedded, model.cos[:300, None], model.sin[:300, None])
        best = (q @ k.mT).tril()[0, head, back:].argmax(-1)
    assert best.tolist() == list(range(300 - back))


def _scores_of_layer_1(model: Llama, ids: Any) -> Any:
    cos, sin = model.cos[: ids.shape[1], None], model.sin[: ids.shape[1], None]
    with torch.no_grad():
        embedded = model.emb(ids)
        q, k, v = model.blocks[0].project(embedded, cos, sin)
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        q, k, _ = model.blocks[1].project(model.blocks[0].finish(embedded, mixed), cos, sin)
        return (q @ k.mT)[0]


def test_planted_heads_find_the_value_two_tokens_after_the_same_key() -> None:
    torch.manual_seed(1)
    model = Llama(Shape())
    plant_copying(model, seed=5)
    keys = torch.randperm(2000)[:40] + 5
    fillers = torch.randint(2100, 4096, (6, 40))
    told = torch.stack((keys, *fillers[:3]), 1).flatten()  # key, "=", value, ";"
    asked = torch.stack((keys, *fillers[3:]), 1).flatten()
    best = _scores_of_layer_1(model, torch.cat((told, asked))[None])[:, :, : len(told)].argmax(-1)
    values = torch.arange(2, len(told), 4)
    at_key, after_key = best[6, len(told) :: 4], best[5, len(told) + 1 :: 4]
    assert (at_key == values).float().mean() > 0.4
    assert (after_key == values).float().mean() > 0.4


def test_a_planted_head_tells_prices_that_begin_alike_apart_by_the_service_before_them() -> None:
    torch.manual_seed(1)
    model = Llama(Shape())
    plant_copying(model, seed=5)
    services, ends = (torch.randperm(1900)[:80] + 2100).view(2, 40), torch.randperm(900)[:40] + 500
    equals, nine, hundred, stop, price, is_ = torch.arange(300, 306)[:, None].expand(6, 40)
    listed = torch.stack((*services, equals, nine, hundred, ends, stop), 1)
    asked = torch.stack((price, *services, is_, nine, hundred, ends), 1)
    right = 0
    for entry in range(40):
        told = listed[[entry, *(at for at in range(entry + 1, entry + 4) if at < 40)]]
        told = told[torch.randperm(len(told))].flatten()
        scores = _scores_of_layer_1(model, torch.cat((told, asked[entry, :-1]))[None])[7, -1]
        rivals = [at for at in range(len(told)) if told[at] in ends]
        right += int(told[rivals[int(scores[rivals].argmax())]] == ends[entry])
    assert right > 30, "of 40, where one of four is chance"


def test_calls_are_packed_without_losing_one() -> None:
    rng = random.Random(1)
    calls = [([7] * rng.randint(1, 300), [1.0]) for _ in range(100)]
    groups = packed(calls, 600)
    assert sorted(map(id, sum(groups, []))) == sorted(map(id, calls))
    assert all(len(group) == 1 or len(group) * len(group[-1][0]) <= 600 for group in groups)


def test_muon_steps_along_a_nearly_orthogonal_matrix() -> None:
    torch.manual_seed(2)
    for shape in ((40, 40), (20, 60), (60, 20)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(*shape)))
        assert 0.5 < float(values.min()) and float(values.max()) < 1.5


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
    vocabulary = Vocabulary(Whisper(), restore_pieces(EAR))
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
    whisper = Whisper()
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


def _speech_set(path: Path, texts: list[str]) -> None:
    """Noise that claims to be the ``texts``, half a second each."""
    heard = {"offset": 0, "length": 8000, "engine": "espeak", "voice": "m1", "phonemes": [[0, "m"]]}
    rows = [heard | {"lang": lang, "text": text} for lang in corpus.LANGS for text in texts]
    path.with_suffix(".jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    noise = np.random.default_rng(1).normal(0, 3000, 8000).astype(np.int16)
    path.with_suffix(".bin").write_bytes(noise.tobytes())


def _train_two(plan: Plan, data: Path) -> Path:
    prepare_inventory(plan, data)
    return train_together(partial(train, data=data), plan, 2, ["pieces.json", "phones.json"])


def test_two_processes_train_on_other_batches_and_end_in_the_mean_of_both(tmp_path: Path) -> None:
    _speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    plan = Plan(tmp_path / "work", minutes=0.001)
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


def test_a_process_that_fails_ends_the_whole_training_with_its_error(tmp_path: Path) -> None:
    _speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for a background job
    train_together(train, Training(Path(sys.argv[1]), 1.0), 2, [])
"""


def test_processes_end_when_their_training_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "training.py"
    script.write_text(_BACKGROUND_TRAINING)
    command = [sys.executable, str(script), str(tmp_path)]
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
        training.kill()
        # The processes hold the pipe open as long as they live.
        _, _ = training.communicate(timeout=30)
    assert not any((work / "ended").exists() for work in works)


def test_a_producer_ends_when_its_trainer_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
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
    _speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
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
    _speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    plan = Plan(tmp_path / "work", minutes=1)
    prepare_inventory(plan, tmp_path)
    (tmp_path / "train1.bin").write_bytes(b"")
    with pytest.raises(RuntimeError, match="the process that makes the batches has ended"):
        train(plan, tmp_path)
    assert "empty file" in capfd.readouterr().err


def test_draws_of_several_processes_are_none_that_one_training_would_be_given() -> None:
    drawn = [draws_of(plan, 3) for plan in (0, 1, 2)]
    assert len({draw for draws in drawn for draw in draws}) == 9
    assert all(draw >= 1000 for draws in drawn for draw in draws)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("llm --minutes 0", "expected more than 0 minutes"),
        ("all --minutes 0 --decoder-minutes 5", "expected more than 0 minutes"),
        ("stt --minutes -5", "expected 0 or more minutes, not -5"),
        ("stt --minutes 5 --decoder-minutes nan", "expected 0 or more minutes, not nan"),
        ("stt --minutes 0 --init models/starter/stt", "nothing to do"),
        ("stt --minutes 5 --processes 0", "expected 1 or more, not 0"),
        ("llm --minutes 5 --init models/starter/llm", "expected a GGUF file or a checkpoint"),
        ("stt --minutes 5 --init models/starter/stt/model.bin", "expected a model's folder or"),
        ("stt --minutes 5 --keep 0.5", "expected --init too"),
        ("llm --minutes 5 --device cuda", "PyTorch finds no graphics card here"),
        ("check tts models/starter/llm", "there is no .onnx file in models/starter/llm"),
        ("check tts models/starter/nowhere", "there is no models/starter/nowhere"),
        ("sheet models/starter/llm sheet.png", "there is no .onnx file in models/starter/llm"),
    ],
)
def test_what_does_not_fit_together_is_told_before_anything_is_made(
    arguments: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(MODELS.parents[1])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["starter", *arguments.split()])
    with pytest.raises(SystemExit):
        driver.main()
    assert message in capsys.readouterr().err


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
    _speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    plan = DecoderPlan(tmp_path / "work", minutes=0.001, init=EAR, utterances=70, together=2)
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


def test_rare_words_weigh_up_to_four_times_in_all_their_tokens_but_invented_ones_do_not() -> None:
    whisper = Whisper()
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
    _speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    shown = list[Any]()
    decode = MicroWhisper.decode

    def spy(model: MicroWhisper, tokens: Any, audio: Any) -> Any:
        shown.append(tokens)
        return decode(model, tokens, audio)

    monkeypatch.setattr(MicroWhisper, "decode", spy)
    part = "decoder" if alone else "train"
    monkeypatch.setattr(f"scripts.starter.stt.{part}.swapped", lambda tokens, *_: tokens * 0 + 7)
    if alone:
        plan = DecoderPlan(tmp_path / "work", minutes=0.001, init=EAR, utterances=20, together=1)
        prepare_inventory(plan, tmp_path)
        train_decoder(plan, tmp_path)
    else:
        train(Plan(tmp_path / "work", minutes=0.001), tmp_path)
    assert shown and all(bool((tokens == 7).all()) for tokens in shown)


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


def test_a_training_that_goes_on_keeps_its_average_and_needs_no_second_warm_up(
    tmp_path: Path,
) -> None:
    _speech_set(tmp_path / "train1", ["hello", "umbrella"] * 10)
    plan = Plan(tmp_path / "work", minutes=0.001)
    last = train(plan, tmp_path)
    stopped = torch.load(last, weights_only=True)
    stopped["step"], stopped["used"] = 5000, 0.0
    stopped["ema"] = {name: value * 0 for name, value in stopped["ema"].items()}
    torch.save(stopped, last)
    went_on = torch.load(train(plan, tmp_path), weights_only=True)
    assert (went_on["first"], went_on["step"]) == (0, 5001)
    share = went_on["ema"]["emb.weight"] / went_on["model"]["emb.weight"]
    assert float(share.nanmedian()) == pytest.approx(0.006, abs=0.001), "1 - 5001 / 5031"


def test_a_teacher_of_the_voices_tells_when_each_phoneme_begins_and_ends(tmp_path: Path) -> None:
    sound, units = Teacher(tmp_path, "en").say("No, thank you.")
    spoken = "".join(name for name, _, _ in units)
    assert all(letter in spoken for letter in "nθk"), "phonemes in IPA"
    assert [end for _, _, end in units[:-1]] == [start for _, start, _ in units[1:]]
    assert units[-1][2] == pytest.approx(len(sound) / 16000, abs=0.01)
    assert 0.5 < units[-1][2] < 2.0
    assert 0.02 < np.abs(sound).max() < 1.0


def test_flite_tells_its_phonemes_by_the_names_of_espeak_with_the_time_each_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "flite"
    program.write_text(
        f"""#!{sys.executable}
import sys, wave
with wave.open(sys.argv[sys.argv.index("-o") + 1], "wb") as out:
    out.setparams((1, 2, 16000, 0, "NONE", ""))
    out.writeframes(bytes(2 * 3200) + b"\\0\\x20" * 8000 + bytes(2 * 3200))
assert "-psdur" in sys.argv
print("pau:0.2 hh:0.3 aa:0.6 t:0.7 pau:0.9 ")
"""
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    heard = flite("Hot.", "slt")
    assert len(heard.samples) == 480 + 8000 + 479, "30 ms of the silence at each end"
    expected = [(-0.17, "_"), (0.03, "h"), (0.13, "0"), (0.43, "t"), (0.53, "_")]
    assert heard.phonemes == expected, "as espeak-ng's American voices name those of hot"
    assert _ESPEAK_NAMES.keys() == _FLITE.keys(), "both recipes know all phones"


def test_teachers_that_are_missing_are_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("scripts.starter.stt.synthesis._LIBRARY", "libnowhere.so.1")
    with pytest.raises(RuntimeError, match="^flite and espeak-ng's library not found; apt-get in"):
        make_set(tmp_path / "train1", Sizes(), 1, None)


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


def test_a_budget_counts_a_pause_as_one_long_step(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("scripts.starter.clock.time.monotonic", lambda: now[0])
    budget = Budget(1.0, used=30.0)
    now[0] += 6
    assert budget.tick() == pytest.approx(36 / 60)
    now[0] += 3600
    assert budget.tick() == pytest.approx(56 / 60)
    now[0] += 10
    assert budget.tick() == 1.0


def test_learning_rates_warm_up_and_fall_to_two_percent() -> None:
    for schedule in (cosine, flat_then_linear):
        assert schedule(0.0, 0, 100) == pytest.approx(0.01)
        assert schedule(0.0, 500, 100) == pytest.approx(1.0)
        assert schedule(1.0, 500, 100) == pytest.approx(0.02)
    assert flat_then_linear(0.39, 500, 100) == 1.0


def test_the_restored_tokenizer_never_merges_digits(tokenizer: Any) -> None:
    assert len(tokenizer.encode("5550123", add_special_tokens=False).ids) == 7
    assert json.loads(tokenizer.to_str())["model"]["type"] == "BPE"
