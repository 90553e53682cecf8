"""Networks: how their work is cut, carried out and looked after, from one epoch to the next."""
