//! Longer texts: short programs for common tasks, coming from the Go package, security, and how the crate is built.

#[doc = include_str!("guide/recipes.md")]
pub mod recipes {}

#[doc = include_str!("guide/coming_from_go.md")]
pub mod coming_from_go {}

#[doc = include_str!("guide/security.md")]
pub mod security {}

#[doc = include_str!("guide/internals.md")]
pub mod internals {}
