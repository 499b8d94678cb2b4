//! The supervisor: starts services with exactly their capabilities and restarts what dies.
