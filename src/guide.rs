//! Longer texts, which belong to no single item.

#[doc = include_str!("guide/coming_from_go.md")]
pub mod coming_from_go {}

#[doc = include_str!("guide/internals.md")]
pub mod internals {}
