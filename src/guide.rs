//! Longer texts, which belong to no single item.

#[doc = include_str!("guide/coming_from_go.md")]
pub mod coming_from_go {}

#[doc = include_str!("guide/internals.md")]
pub mod internals {}

#[doc = include_str!("guide/promises.md")]
pub mod promises {}

#[doc = include_str!("guide/security.md")]
pub mod security {}
