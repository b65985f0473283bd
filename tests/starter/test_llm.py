"""The chat model's training. It needs the extra ``starter``, which the gateway does without."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from scripts.starter import corpus

torch = pytest.importorskip("torch", reason="the extra 'starter' is not installed")
tokenizers = pytest.importorskip("tokenizers")

from torch import Tensor  # noqa: E402

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
from scripts.starter.llm.train import loss_of, loss_of_rows, prepare_tokenizer, require_layers  # noqa: E402
from scripts.starter.llm.train import train as train_chat  # noqa: E402
from tests.starter.material import CHAT  # noqa: E402


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_attention_sees_the_past_only_and_a_profile_that_all_calls_share(dtype: Any) -> None:
    torch.manual_seed(3)
    q, k, v = torch.randn(3, 2, 4, 9, 16, dtype=dtype)
    weights = (q @ k.mT / 4).masked_fill(torch.ones(9, 9).triu(1).bool(), -torch.inf).softmax(-1)
    torch.testing.assert_close(attend(q, k, v), weights @ v)

    model = Llama(Shape()).to(dtype)
    profile, calls = torch.randint(5, 4096, (1, 20)), torch.randint(5, 4096, (3, 30))
    whole = torch.cat((profile.expand(3, -1), calls), 1)
    with torch.no_grad():
        apart, together = model.hidden(calls, profile), model.hidden(whole)[:, 20:]
    torch.testing.assert_close(apart, together, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("start", [0, 7])
def test_float32_is_attended_by_the_fused_kernel_with_the_result_of_the_plain_products(
    start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    q, k, v = torch.randn(3, 2, 4, 9, 16)
    shared, other = torch.randn(2, 1, 4, start, 16)
    before = (shared, other) if start else None
    exactly = (shared.double(), other.double()) if start else None
    plain = attend(q.double(), k.double(), v.double(), exactly)
    fused: list[bool] = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def spy(*args: Any, **options: Any) -> Tensor:
        fused.append(True)
        return kernel(*args, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    torch.testing.assert_close(attend(q, k, v, before), plain.float())
    assert fused


def test_a_chat_model_that_grows_by_layers_answers_as_before_until_it_is_trained(
    tmp_path: Path,
) -> None:
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
        require_layers(ChatPlan(tmp_path, minutes=1, init=CHAT, layers=layers - 1))
    large.hidden(ids).square().sum().backward()
    assert large.blocks[-1].down.weight.grad.abs().sum() > 0, "and the new layers can learn"


@pytest.mark.parametrize("checkpoint", [None, "last.pt", "2/last.pt"])
def test_a_tokenizer_is_that_of_a_checkpoint_or_it_is_taken_from_the_start(
    checkpoint: str | None, tmp_path: Path
) -> None:
    plan = ChatPlan(tmp_path / "work", minutes=1, init=CHAT)
    wanted = prepare_tokenizer(plan).read_bytes()
    left = plan.work / "tokenizer.json"
    left.write_bytes(b"{}")  # as a start from something else
    if checkpoint:
        (plan.work / checkpoint).parent.mkdir(exist_ok=True)
        (plan.work / checkpoint).touch()
    assert prepare_tokenizer(plan).read_bytes() == (b"{}" if checkpoint else wanted)


@pytest.mark.parametrize("checkpoint", ["last.pt", "2/last.pt"])
def test_a_stopped_training_goes_on_with_as_many_layers_as_it_began_with(
    checkpoint: str, tmp_path: Path
) -> None:
    plan = ChatPlan(tmp_path, minutes=1, init=CHAT, layers=2)
    last = tmp_path / checkpoint
    last.parent.mkdir(exist_ok=True)
    torch.save({"model": Llama(Shape(layers=1)).state_dict()}, last)
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
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    draw = CallBatches._draw

    def spy(data: CallBatches, kind: str) -> Batch:
        drawn.append(kind)
        return draw(data, kind)

    monkeypatch.setattr(CallBatches, "_draw", spy)
    data = CallBatches(tokenizer, random.Random(3), 2048, _counted, pool=12)
    for turn in range(10):
        batch = data.next()
        told = tokenizer.decode(batch.ids[batch.weights > 0].tolist(), skip_special_tokens=False)
        if turn % 5 in (1, 3):
            assert batch.prefix is not None
            assert "Pearl Dental Clinic" in tokenizer.decode(batch.prefix[0].tolist())
            assert "tool_call" not in told
        assert batch.ids.numel() <= 2048 and (batch.weights > 0).any()
    assert drawn[0::5] == ["drills"] * 2 and drawn[1::5] == drawn[3::5] == ["questions"] * 2
    assert set(drawn[2::5] + drawn[4::5]) == {"demo", "other"}


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


def test_the_restored_tokenizer_never_merges_digits(tokenizer: Any) -> None:
    assert len(tokenizer.encode("5550123", add_special_tokens=False).ids) == 7
    assert json.loads(tokenizer.to_str())["model"]["type"] == "BPE"
