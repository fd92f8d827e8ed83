"""What an operator may set, as frozen values, documented field by field.

Read from TOML and environment and checked as a whole: every mistake is told at once.
"""
