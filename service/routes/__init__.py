"""What each route is asked and answers: bodies, explained where they are wrong; OpenAPI; the table of routes."""
