"""What happens to a message, whatever platform it came from."""
