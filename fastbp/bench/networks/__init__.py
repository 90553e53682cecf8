"""How fast a dense network trains beside others: cases, the best epoch of each library, and one table for each case.

python -m fastbp.bench.networks
"""
