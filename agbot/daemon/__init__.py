"""Puts the parts together: start and stop order, signals, systemd notification, logging.

The only place that knows all parts.
"""
