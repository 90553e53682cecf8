"""The command `fastbp`: words and files in, words and files out. All of it goes through the public API, but for what a
model file says beside its network."""
