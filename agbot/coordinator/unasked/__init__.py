"""Upgrades that began without a question, and members that do not ask."""
