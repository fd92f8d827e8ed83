"""Questions of nodes and agbots, from the asker's confirmation to the commit."""
