"""One module per kind of file: bytes in, `Contents` out. Nothing is unpickled and no declared size is followed."""
