//! The protocol! definition: one place gives the typed client, the server trait and its dispatch.
