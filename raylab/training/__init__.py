"""One stage at a time: what it trains on, its identity, the loop, the store of weights."""
