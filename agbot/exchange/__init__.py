"""The client side of the Exchange: the change feed and the reads we need. The only package that knows Exchange JSON."""
