"""Whole steps of training as explicit loops over the tile algebra.

jit          how the kernels are compiled; `linking` is how they are put together, `cache` where machine code is kept
matmul       c = a b and c += a b
layer        the sigmoid layer on one panel of rows
strips       matrices that lie as the tiles of a product read them
activations, losses, updates  of a network, on one panel of rows
team         how threads share the tasks of a call
program      how a call goes from line to line of its tasks
schedule     steps of a layer: which rows and weights are whose task
few_rows     steps of a layer on few rows and many weights
network      epochs of a network, likewise
tiny         steps on a problem whose rows and inputs fit one vector each
elementwise  the sigmoid and the cost of whole arrays
"""

from fastbp.kernels import cache as cache  # before all others: it reads the sources that they are imported from
