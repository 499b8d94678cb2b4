//! The console server: COM1, line discipline, many writers.
