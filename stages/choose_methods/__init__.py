"""Says for each compared method whether it runs."""
