"""Recipes of the starter models: speech recogniser, chat model and voices, all from scratch."""

import os

# Before numpy is loaded. Its matrices are small here: with two threads OpenBLAS takes four times as
# long for the features of an utterance, which wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
