"""Models that can be downloaded: which there are, where they lie, and whether they are whole.

Nothing here runs while calls are served but `check`, which never uses the network.
"""
