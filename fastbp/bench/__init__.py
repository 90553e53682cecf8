"""How fast fastbp is beside others: one table of cases and one registry of implementations, shared by every suite.

The modules import each other relatively, and fastbp itself by name, when data is made or it is timed: so the benchmarks
of one checkout can time the fastbp of another.
"""
