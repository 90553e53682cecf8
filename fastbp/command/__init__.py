"""The command `fastbp`: words and files in, words and files out. All of it goes through the public API."""
