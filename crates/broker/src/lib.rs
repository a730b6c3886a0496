//! Carries publications between nodes.
