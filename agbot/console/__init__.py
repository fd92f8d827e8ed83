"""The operators' listener: health, metrics and the JSON API. Reading is free, writing needs the operator token."""
