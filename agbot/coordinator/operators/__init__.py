"""What operators see and do: views, explanations, history, and requests that change something."""
