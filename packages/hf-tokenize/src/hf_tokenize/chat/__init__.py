"""Conversations to token ids: templates in a sandbox, masks of what the assistant said, and replies read back."""
