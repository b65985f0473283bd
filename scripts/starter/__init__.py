"""Recipes of the starter models: speech recogniser, chat model and voices, all from scratch."""
