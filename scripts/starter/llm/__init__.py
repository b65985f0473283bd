"""The chat model: a micro Llama trained on synthetic calls."""
