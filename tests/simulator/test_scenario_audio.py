"""What a scenario's caller sounds like, and where in it the speech lies."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from gateway.audio.pcm import FRAME_SAMPLES, SAMPLE_RATE, Samples, samples_of
from gateway.model_paths import ModelPaths
from gateway.simulator.caller_line import CallerLine, EchoPath, Telephone, through_mu_law
from gateway.simulator.caller_voice import CallerVoices, VoiceError, cache_folder
from gateway.simulator.network import NetworkPath
from gateway.simulator.recording import RecordingError, save_stereo
from gateway.simulator.scenario import Call, Echo, Network, Noise, Part, SoundKind, Turn
from gateway.simulator.scenario_file import Scenario
from gateway.simulator.sounds import make_sound
from gateway.simulator.utterance import Utterance, load_audio, render
from tests.simulator.voices import silence, tone


class ToneVoices(CallerVoices):
    """Says every text as 500 ms of tone with 50 ms of silence around it."""

    def __init__(self) -> None:
        super().__init__(ModelPaths(Path("models")))

    def speak(
        self, text: str, language: str, name: str, length_scale: float, folder: Path
    ) -> Samples:
        return np.concatenate([silence(0.05), tone(0.5), silence(0.05)])


def utter(*say: str | int | Part, folder: Path = Path(), level_db: float = 0.0) -> Utterance:
    turn = Turn(say=say, level_db=level_db)
    scenario = Scenario(Call(name="x", language="en", turn=(turn,)), folder)
    return render(scenario, ToneVoices())[0]


def rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def test_a_pause_lies_exactly_between_the_end_and_the_start_of_speech() -> None:
    utterance = utter("one", 700, "two", 300, "three")
    ms = [(span.text, span.start / 16, span.end / 16) for span in utterance.spans]
    assert ms == [("one", 50, 550), ("two", 1250, 1750), ("three", 2050, 2550)]
    assert (utterance.start, utterance.end) == (samples_of(0.05), samples_of(2.55))
    between = utterance.samples[samples_of(0.55) : samples_of(1.25)]
    assert not between.any() and between.size == samples_of(0.7)


def test_a_turn_ends_with_its_last_word_not_with_a_cough() -> None:
    utterance = utter("one", 200, Part(sound="cough", ms=300))
    assert utterance.end == samples_of(0.55)


def test_levels_add_up() -> None:
    loud, soft = utter("one"), utter("one", level_db=-20.0)
    assert rms(loud.samples) / rms(soft.samples) == pytest.approx(10, rel=0.02)


def test_a_file_is_played_with_the_speech_it_is_said_to_hold(tmp_path: Path) -> None:
    recording = np.concatenate([silence(0.1), tone(0.4), silence(0.1)])
    save_stereo(tmp_path / "a.wav", recording, recording)
    (found,) = utter(Part(file="a.wav", text="hello"), folder=tmp_path).spans
    assert (found.text, found.start, found.end) == ("hello", samples_of(0.1), samples_of(0.5))
    (told,) = utter(Part(file="a.wav", speech=(150, 9000)), folder=tmp_path).spans
    assert (told.start, told.end) == (samples_of(0.15), samples_of(0.6))
    with pytest.raises(RecordingError, match="speech from 700 ms on, got 600 ms of audio"):
        utter(Part(file="a.wav", speech=(700, 900)), folder=tmp_path)


def write_as_flac(path: Path, samples: Samples, kind: str = "flac", codec: str = "flac") -> None:
    """Write samples of 8 kHz, in whatever form, to a file whose name says FLAC."""
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=8000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        if samples.size:
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], "s16", "mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_flac_file_is_read_like_a_wav(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    write_as_flac(path, tone(0.5))
    samples = load_audio(path)
    assert samples.size == pytest.approx(SAMPLE_RATE, abs=FRAME_SAMPLES)
    assert rms(samples) == pytest.approx(rms(tone(0.5)), rel=0.05)


@pytest.mark.parametrize(("kind", "codec"), [("wav", "pcm_s16le"), ("mp3", "mp3")])
def test_other_audio_under_the_name_of_flac_is_refused(
    tmp_path: Path, kind: str, codec: str
) -> None:
    path = tmp_path / "a.flac"
    write_as_flac(path, tone(0.5), kind, codec)
    with pytest.raises(RecordingError, match=f"a.flac: expected FLAC audio, got {codec}"):
        load_audio(path)


def test_a_text_under_the_name_of_flac_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_text("no audio at all\n" * 20)
    with pytest.raises(RecordingError, match="a.flac: expected FLAC audio, got none"):
        load_audio(tmp_path / "a.flac")


def test_a_flac_file_without_audio_is_refused(tmp_path: Path) -> None:
    write_as_flac(tmp_path / "a.flac", silence(0))
    with pytest.raises(RecordingError, match="a.flac: expected FLAC audio, got none"):
        load_audio(tmp_path / "a.flac")


def test_a_silent_flac_file_is_refused_like_a_silent_wav(tmp_path: Path) -> None:
    write_as_flac(tmp_path / "a.flac", silence(0.5))
    with pytest.raises(RecordingError, match="a.flac: holds only silence"):
        load_audio(tmp_path / "a.flac")


@pytest.mark.parametrize("kind", ["cough", "breath", "click", "dtmf", "babble", "street", "music"])
def test_a_sound_is_the_same_each_time_and_another_with_another_seed(kind: SoundKind) -> None:
    first = make_sound(kind, 0.5, seed=1)
    make_sound.cache_clear()
    assert (make_sound(kind, 0.5, seed=1) == first).all()
    assert first.size == samples_of(0.5) and np.abs(first).max() < 3
    assert not (make_sound(kind, 0.5, seed=3) == first).all()


@pytest.mark.parametrize("ms", [1, 2])
@pytest.mark.parametrize("kind", ["cough", "breath", "click", "dtmf", "babble", "street", "music"])
def test_a_sound_can_be_as_short_as_a_scenario_may_ask(kind: SoundKind, ms: int) -> None:
    (span,) = utter(Part(sound=kind, ms=ms)).spans
    assert (span.start, span.end) == (0, samples_of(ms / 1000))


def test_noise_lies_below_the_speech_by_the_given_ratio() -> None:
    noise = Noise(kind="street", snr_db=10)
    call = Call(name="x", language="en", turn=(Turn(say="hi"),), noise=noise, level_dbfs=-20)
    line = CallerLine(call, Path())
    heard = np.concatenate([line.push(silence(0.02)) for _ in range(1000)])
    assert 20 * np.log10(rms(heard) / 32768) == pytest.approx(-30, abs=0.2)


def test_echo_comes_back_later_and_softer() -> None:
    echo = EchoPath(Echo(level_db=-20, delay_ms=100))
    echo.push(tone(0.1), samples_of(0.2))
    heard = np.concatenate([echo.take(i * FRAME_SAMPLES) for i in range(30)])
    assert not heard[: samples_of(0.3)].any() and not heard[samples_of(0.4) :].any()
    came_back = heard[samples_of(0.3) : samples_of(0.4)]
    assert came_back == pytest.approx(tone(0.1) / 10, abs=1e-3)


def through_telephone(hertz: float) -> float:
    """Gain of a tone through the telephone line."""
    wave = 8000 * np.sin(2 * np.pi * hertz * np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE)
    line = Telephone()
    frames = [line.push(wave[i : i + 320]) for i in range(0, wave.size, 320)]
    settled = np.concatenate(frames)[line.delay :]
    return float(np.std(settled) / np.std(wave))


def test_a_telephone_passes_its_band_only() -> None:
    assert [through_telephone(f) for f in (500, 1000, 3000)] == pytest.approx([1, 1, 1], abs=0.1)
    assert max(through_telephone(f) for f in (60, 4200, 7000)) < 0.05


def test_a_telephone_delays_as_it_says() -> None:
    line, voice = Telephone(), np.random.default_rng(1).normal(0, 3000, 3200)
    heard = np.concatenate([line.push(voice[i : i + 320]) for i in range(0, 3200, 320)])
    match = np.correlate(heard, voice[: 3200 - 400], mode="valid")
    assert int(np.argmax(match)) == line.delay


def test_mu_law_keeps_small_and_large_values_alike() -> None:
    values = np.array([0.0, 40.0, -400.0, 4000.0, -30000.0])
    assert through_mu_law(values) == pytest.approx(values, rel=0.06, abs=4)


@pytest.mark.parametrize("name", ["nobody", "n" * 300])
def test_a_voice_that_does_not_exist_is_explained(tmp_path: Path, name: str) -> None:
    voices = CallerVoices(ModelPaths(tmp_path))
    with pytest.raises(VoiceError, match=f"no voice '{name}'"):
        voices.speak("hi", "en", name, 1.0, tmp_path)


def test_words_are_spoken_once_and_then_kept(tmp_path: Path) -> None:
    models = ModelPaths(Path("models"))
    first = CallerVoices(models, tmp_path).speak("Good morning.", "en", "", 1.0, Path())
    (kept,) = tmp_path.iterdir()
    np.save(kept, first[:100])
    again = CallerVoices(models, tmp_path).speak("Good morning.", "en", "", 1.0, Path())
    assert (again == first[:100]).all()


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00", b"\x00" * 4096])
def test_words_whose_file_is_damaged_are_spoken_and_kept_again(
    tmp_path: Path, damage: bytes
) -> None:
    models = ModelPaths(Path("models"))
    first = CallerVoices(models, tmp_path).speak("Good morning.", "en", "", 1.0, Path())
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(damage)
    again = CallerVoices(models, tmp_path).speak("Good morning.", "en", "", 1.0, Path())
    assert again.size == pytest.approx(first.size, rel=0.5)
    assert (np.load(kept) == again).all()


def deliveries(network: Network, frames: int) -> list[int]:
    path = NetworkPath(network)
    return [sum(chunk.size for chunk in path.push(tone(0.02))) // 320 for _ in range(frames)]


def test_words_are_not_kept_where_nobody_has_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert cache_folder() is None


def test_a_bursty_network_collects_audio() -> None:
    assert deliveries(Network(burst_ms=60), 6) == [0, 0, 3, 0, 0, 3]


def test_a_network_with_gaps_loses_audio() -> None:
    assert deliveries(Network(gap_ms=40, every_ms=100), 10) == [1, 1, 1, 0, 0] * 2


def test_a_fast_clock_makes_frames_shorter() -> None:
    assert NetworkPath(Network(drift_percent=1)).pace == pytest.approx(0.990, abs=1e-3)
    assert NetworkPath(None).pace == 1
