"""Every decision as an event, under one name, from the journal to the log. Nothing is told before it is committed."""
