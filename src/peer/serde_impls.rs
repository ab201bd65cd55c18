//! Implementations of `serde` traits that cannot be derived: for [`Traffic`], and for kinds of I/O errors.

use super::stats::{Count, Traffic};
use crate::wire::Command;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::collections::BTreeMap;

/// The serialised form of [`Traffic`]. Commands without messages are left out.
#[derive(serde::Serialize, serde::Deserialize)]
struct Written {
    commands: BTreeMap<Command, Count>,
    unknown: Count,
    malformed: Count,
}

impl Serialize for Traffic {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let written = Written { commands: self.iter().collect(), unknown: self.custom(), malformed: self.malformed() };
        written.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Traffic {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Written { commands, unknown, malformed } = Written::deserialize(from)?;
        let mut traffic = Self::default();
        for (command, count) in commands {
            traffic.add(command, count);
        }
        traffic.add_custom(unknown);
        traffic.malformed += malformed;
        Ok(traffic)
    }
}

/// For `#[serde(with)]`: serialises a kind as its name in Rust. An unknown name becomes `Other`.
pub(super) mod error_kind {
    use super::*;
    use std::io::ErrorKind;

    macro_rules! kinds {
        ($($kind:ident)*) => {
            const KINDS: &[(&str, ErrorKind)] = &[$((stringify!($kind), ErrorKind::$kind)),*];
        };
    }

    kinds! {
        NotFound PermissionDenied ConnectionRefused ConnectionReset HostUnreachable NetworkUnreachable
        ConnectionAborted NotConnected AddrInUse AddrNotAvailable NetworkDown BrokenPipe AlreadyExists WouldBlock
        NotADirectory IsADirectory DirectoryNotEmpty ReadOnlyFilesystem StaleNetworkFileHandle InvalidInput
        InvalidData TimedOut WriteZero StorageFull NotSeekable QuotaExceeded FileTooLarge ResourceBusy
        ExecutableFileBusy Deadlock TooManyLinks ArgumentListTooLong Interrupted Unsupported UnexpectedEof OutOfMemory
    }

    pub fn serialize<S: Serializer>(kind: &ErrorKind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(KINDS.iter().find(|(_, known)| known == kind).map_or("Other", |(name, _)| name))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ErrorKind, D::Error> {
        let name = String::deserialize(from)?;
        Ok(KINDS.iter().find(|(known, _)| *known == name).map_or(ErrorKind::Other, |(_, kind)| *kind))
    }
}
