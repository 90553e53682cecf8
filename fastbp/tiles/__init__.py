"""A small algebra of register tiles on Numba: what makes explicit loops as fast as BLAS.

registers   how wide the host's registers are
values      the types: vector, tile, block
lowering    how an operation becomes machine code
operations  the operations, each a NumPy twin with its lowering: on rectangles of `memory`, on `vectors`, on register
            tiles of `products`, and the `transposition` of squares
atomics     numbers that threads share
records     named tuples that kernels hand on whole
calls       a call of a kernel that other threads enter
"""
