"""What the service answers, a router a subject."""
