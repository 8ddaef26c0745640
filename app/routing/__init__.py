"""Who delivers: how channels are compared, which partners may be called, and why an order went where it did."""
