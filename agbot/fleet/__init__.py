"""The picture of the fleet, in memory, and the plan of what is read from the Exchange.

Pure: the picture changes only by its arguments.
"""
