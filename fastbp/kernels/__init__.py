"""Whole steps of training as explicit loops over the tile algebra.

jit          how the kernels are compiled: one by one by `compiler`, whose `loops` become counters; put together by
             `linking`, kept on disk by `cache`
functions    e^x, the sigmoid, tanh and log on vectors
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
direct       its operations where rows are few
tiny         steps on a problem whose rows and inputs fit one vector each
elementwise  the sigmoid and the cost of whole arrays
shuffle      a random order of rows

Words that have one meaning in all of them:

panel     rows that go through a step together while they are in the cache
shard     a part of the rows with a partial gradient of its own
stretch   several panels that all threads work on together, for one gradient, where weights are many
fold      the sum of partial results, in an order that no number of threads changes
group     consecutive outputs that a task has, or one of several; of inputs it is a cut, as what splits k is elsewhere
strip     some columns of a matrix that follow each other in memory: packed, as libraries of products call it
tile      rows x vectors of a product that stay in registers
line      of a program: tasks that do not depend on each other, then a barrier; the lines of a step are its body
desk      where the tasks of a call are counted; the helpers of `team` come through a door, when their bell rings
x_t       the transpose of x, rows along the lanes of a vector; load_some is of a part of a vector, by a mask
"""

from fastbp.kernels import cache as cache  # before all others: it reads the sources that they are imported from
