"""The operators' listener: health, metrics and the JSON API.

Requests that change something need the operator token.
"""
