"""How fast a dense network trains beside others: cases, and the best epoch of each library."""
