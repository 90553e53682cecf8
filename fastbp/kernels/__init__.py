"""Whole steps of training as explicit loops over the tile algebra.

jit          how the kernels are compiled, and `cache` where their machine code is kept
matmul       c += a b
layer        the sigmoid layer on one panel of rows
team         how threads share the tasks of a call
schedule     steps on any problem: who does which rows, in which order, on which thread
tiny         steps on a problem whose rows and inputs fit one vector each
elementwise  the sigmoid and the cost of whole arrays
"""
