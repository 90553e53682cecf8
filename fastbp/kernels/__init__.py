"""Whole steps of training as explicit loops over the tile algebra.

jit          how the kernels are compiled; `linking` is how they are put together, `cache` where machine code is kept
blocks       what is done with numbers whatever they mean: transposed, copied, folded
matmul       c += a b, c += a^T b and c += a b^T
sigmoid_layer  the mathematics of the sigmoid layer, on one panel of rows
activations, losses, updates  those of a network, on one panel of rows
strips       matrices that lie as the tiles of a product read them
team         how threads share the tasks of a call
program      how a call goes from line to line of its tasks
layer        steps of a layer, as their programs say
many_rows    the phases of these: which rows and weights are whose task
few_rows     likewise, where rows are few and weights stay in place
layer_arrays  what both work on
network      epochs of a network, likewise; `workspace` is where all lies that they need
tiny         steps on a problem whose rows and inputs fit one vector each
elementwise  the sigmoid and the cost of whole arrays
"""

from fastbp.kernels import cache as cache  # before all others: it reads the sources that they are imported from
