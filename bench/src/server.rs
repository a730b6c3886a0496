//! Servers under test, each started as a fresh child process.
