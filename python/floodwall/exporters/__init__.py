"""Memory figures for monitoring systems; each module needs its own extra."""
