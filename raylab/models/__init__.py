"""Networks: an encoder per channel, a fusion, an adapter and a head; the parts that techniques free by name."""
