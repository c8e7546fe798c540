"""How good are the forecasts? Known ways of using a limit, and what `store.forecast` says of them beforehand."""
