"""Features that headrace proposes, and how those that earn their place are told from noise."""
