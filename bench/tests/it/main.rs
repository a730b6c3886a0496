//! The binary against servers that are known.

mod chat;
mod faults;
mod scenarios;
mod support;
