"""How fast fastbp is: one table of cases and one registry of implementations, shared by every suite."""
