"""Tables to pages, figures and text."""
