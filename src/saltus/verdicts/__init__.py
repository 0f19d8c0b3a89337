"""From estimates on several scales to a verdict: the procedure, one step a file."""
