"""The settings of an operator, as frozen values with a documentation of each field.

They are read from TOML and the environment and checked as a whole: every mistake is reported at
once.
"""
