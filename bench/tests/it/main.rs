//! The binary against servers that are known.
