//! The binary against servers that are known.

mod chat;
mod faults;
mod ladder;
mod scenarios;
mod support;
