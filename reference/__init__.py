"""The site's pages that are made of the code: calls of the API, commands, and what lies outside docs/."""
