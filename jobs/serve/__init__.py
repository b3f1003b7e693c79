"""The page and the doors for programs: HTTP, MCP and the OpenAI form."""
