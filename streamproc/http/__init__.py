"""HTTP/1.1: two clients behind one contract."""
