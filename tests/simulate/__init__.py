"""The accuracy of `store.analysis.forecast` on simulated ways of using a limit."""
