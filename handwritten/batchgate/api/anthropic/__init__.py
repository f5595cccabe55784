"""The Anthropic surface: Message Batches as the Anthropic SDKs call them."""
