//! The pipe server: a rendezvous of writers and readers.
