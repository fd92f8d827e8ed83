"""`agbot demo`: the production daemon against a simulated hub, with stories and an observer."""
