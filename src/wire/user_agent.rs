//! User agents: `/library:1.2.3/name:version(comment; comment)/`.

use super::codec::check_count;
use super::error::EncodeError;
use super::wire_string::WireString;
use std::fmt;
use thiserror::Error;

/// The name and version of the software that a node runs, at most 256 bytes.
///
/// By convention it has one or more parts, each `name:version/` or `name:version(comment; comment)/`, after a `/`. A
/// remote may send any bytes. They are kept unchanged and shown like a [`WireString`].
///
/// ```
/// use kaspa_peer::wire::UserAgent;
///
/// let library = UserAgent::new("library", "1.2.3")?;
/// assert_eq!(library.to_string(), "/library:1.2.3/");
/// let program = library.then("dag-watch", "1.0.0", ["demo", "rome"])?;
/// assert_eq!(program.to_string(), "/library:1.2.3/dag-watch:1.0.0(demo; rome)/");
/// # Ok::<(), kaspa_peer::wire::UserAgentError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserAgent(WireString);

impl UserAgent {
    /// The longest user agent that a `version` message can carry, in bytes, by the protocol.
    pub const MAX: usize = 256;

    /// A user agent of one part without comments: `/name:version/`.
    ///
    /// # Errors
    ///
    /// If the name is empty, if the name or the version contains one of `/ : ( )` or a control character, or if the
    /// whole is longer than [`MAX`](Self::MAX).
    pub fn new(name: &str, version: &str) -> Result<Self, UserAgentError> {
        Self::with_comments(name, version, [""; 0])
    }

    /// A user agent of one part with comments: `/name:version(comment; comment)/`.
    ///
    /// ```
    /// use kaspa_peer::wire::UserAgent;
    ///
    /// let agent = UserAgent::with_comments("dag-watch", "1.0.0", ["demo", "rome"])?;
    /// assert_eq!(agent.to_string(), "/dag-watch:1.0.0(demo; rome)/");
    /// # Ok::<(), kaspa_peer::wire::UserAgentError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new). Comments are checked like the name.
    pub fn with_comments<C: AsRef<str>>(
        name: &str,
        version: &str,
        comments: impl IntoIterator<Item = C>,
    ) -> Result<Self, UserAgentError> {
        Self::default().then(name, version, comments)
    }

    /// This user agent with one more part at its end. A program puts its own name after that of its library.
    ///
    /// # Errors
    ///
    /// As for [`with_comments`](Self::with_comments).
    pub fn then<C: AsRef<str>>(
        &self,
        name: &str,
        version: &str,
        comments: impl IntoIterator<Item = C>,
    ) -> Result<Self, UserAgentError> {
        let comments: Vec<C> = comments.into_iter().collect();
        let parts = [name, version];
        for part in parts.into_iter().chain(comments.iter().map(AsRef::as_ref)) {
            if let Some(found) = part.chars().find(|c| "/:()".contains(*c) || c.is_control()) {
                return Err(UserAgentError::Character { part: part.to_owned(), found });
            }
        }
        if name.is_empty() {
            return Err(UserAgentError::NoName);
        }
        let mut text = self.0.as_bytes().to_vec();
        if text.is_empty() {
            text.push(b'/');
        }
        text.extend(format!("{name}:{version}").bytes());
        if !comments.is_empty() {
            let joined: Vec<&str> = comments.iter().map(AsRef::as_ref).collect();
            text.extend(format!("({})", joined.join("; ")).bytes());
        }
        text.push(b'/');
        if text.len() > Self::MAX {
            return Err(UserAgentError::TooLong { length: text.len() });
        }
        Ok(Self(WireString::from_bytes(text)))
    }

    /// A user agent of any bytes. Sending one longer than [`MAX`](Self::MAX) fails.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(WireString::from_bytes(bytes))
    }

    /// The bytes, unchanged.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The text if it is UTF-8. It is not sanitised, so do not print it.
    #[must_use]
    pub fn to_str(&self) -> Option<&str> {
        self.0.to_str()
    }

    pub(crate) fn check(&self) -> Result<(), EncodeError> {
        check_count("user agent", self.as_bytes().len(), Self::MAX as u64)
    }
}

impl AsRef<[u8]> for UserAgent {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Display for UserAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for UserAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The reason that a [`UserAgent`] cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UserAgentError {
    /// The name is empty.
    #[error("the name in a user agent is empty")]
    NoName,
    /// A name, version or comment contains a separator or a control character.
    #[error("{part:?} contains {found:?}: names, versions and comments may not contain / : ( ) or control characters")]
    Character {
        /// The name, version or comment.
        part: String,
        /// The character that it may not contain.
        found: char,
    },
    /// The whole is longer than [`UserAgent::MAX`].
    #[error("the user agent has {length} bytes; the protocol allows at most {}", UserAgent::MAX)]
    TooLong {
        /// Its length, in bytes.
        length: usize,
    },
}
