"""One handler for each kind of provider API: writes calls and reads answers."""
