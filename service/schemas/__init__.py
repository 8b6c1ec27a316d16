"""The bodies of requests and answers, a module a subject."""
