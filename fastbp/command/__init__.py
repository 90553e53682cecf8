"""The command `fastbp`: words and files in, words and files out.

Networks are made and trained through the public API; what a model file says beside its network goes by their storage.
"""
