//! The client against a server that says what the test tells it to.

mod calls;
mod ending;
mod pushes;
mod server;
