"""Where people are: each platform's messages in, our replies out."""
