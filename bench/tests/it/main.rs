//! The binary against servers that are known.

mod faults;
mod scenarios;
mod support;
