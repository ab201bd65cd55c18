//! Longer texts: recipes, TLS, a table for those who know the original Go package, security, speed, and internals for
//! maintainers.

#[doc = include_str!("guide/recipes.md")]
pub mod recipes {}

#[doc = include_str!("guide/tls.md")]
// The package `kpeer` compiles and tests this file, because the library itself does not depend on rustls.
#[doc = concat!("```ignore\n", include_str!("guide/tls_stream.rs"), "```")]
pub mod tls {}

#[doc = include_str!("guide/coming_from_go.md")]
pub mod coming_from_go {}

#[doc = include_str!("guide/security.md")]
pub mod security {}

#[doc = include_str!("guide/speed.md")]
pub mod speed {}

#[doc = include_str!("guide/internals.md")]
pub mod internals {}
