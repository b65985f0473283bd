"""The voices: one acoustic model and a fixed vocoder, exported as Piper voices."""
