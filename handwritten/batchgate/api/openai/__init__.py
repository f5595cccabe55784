"""The OpenAI surface: Files as the OpenAI SDKs call them."""
