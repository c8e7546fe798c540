"""Prices of models in dollars: those that genai-prices has, and the user's own."""
