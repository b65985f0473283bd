"""The speech recogniser: a micro Whisper trained on synthetic speech."""
