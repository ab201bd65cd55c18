//! The commands, which name the type of a message in its frame's header.

use super::message_table::{MAX_PAYLOAD, for_each_message};
use super::parse_error::ParseError;
use std::{fmt, str::FromStr};

/// A command that is not one of the protocol's 25: 1 to 12 printable ASCII characters. Used in [`Command::Custom`].
// Aligned so that a `Command` is copied in whole words. Copies of single bytes that overlap stall the processor for
// longer than the rest of handling a small message takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(align(4))]
pub struct CustomCommand([u8; 12]);

impl CustomCommand {
    /// The command on the wire, such as `hello`.
    #[must_use]
    pub fn name(&self) -> &str {
        let length = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        self.0.get(..length).and_then(|name| str::from_utf8(name).ok()).unwrap_or_default()
    }
}

impl fmt::Display for CustomCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl AsRef<str> for CustomCommand {
    fn as_ref(&self) -> &str {
        self.name()
    }
}

impl FromStr for CustomCommand {
    type Err = ParseError;

    /// Parses 1 to 12 printable ASCII characters that are none of the protocol's 25 commands.
    fn from_str(name: &str) -> Result<Self, ParseError> {
        match name.parse()? {
            Command::Custom(command) => Ok(command),
            _ => Err(ParseError::new(name, "a custom command", "a name that is none of the protocol's 25")),
        }
    }
}

impl From<CustomCommand> for Command {
    fn from(command: CustomCommand) -> Self {
        Self::Custom(command)
    }
}

impl fmt::Debug for CustomCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A command as a number, so that a `match` can compare it at once.
const fn packed(name: &[u8]) -> u128 {
    let mut value = 0;
    let mut rest = name;
    let mut shift = 0;
    while let [byte, tail @ ..] = rest {
        value |= (*byte as u128) << shift;
        shift += 8;
        rest = tail;
    }
    value
}

/// `true` if a command field is 1 to 12 printable ASCII characters, padded with zeros.
fn well_formed(field: &[u8; 12]) -> bool {
    let length = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    let (name, padding) = field.split_at_checked(length).unwrap_or_default();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic) && padding.iter().all(|&byte| byte == 0)
}

macro_rules! commands {
    ($($variant:ident $type:ident $(in $box:ident)? $name:literal $limit:expr, $callback:ident, $doc:literal;)*) => {
        /// The type of a message.
        ///
        /// ```
        /// use kaspa_peer::wire::Command;
        ///
        /// assert_eq!(Command::GetBlockInvs.name(), "getblockinvs");
        /// assert_eq!("ping".parse(), Ok(Command::Ping));
        /// assert!(!"hello".parse::<Command>().is_ok_and(|command| command.is_known()));
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Command {
            $(#[doc = concat!("`", $name, "`: ", $doc)] $variant,)*
            /// A command that is not one of the protocol's 25.
            Custom(CustomCommand),
        }

        impl Command {
            /// The protocol's 25 commands.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The limits of [`payload_limit`](Self::payload_limit), indexed by [`index`](Self::index).
            pub(crate) const PAYLOAD_LIMITS: [u32; Self::ALL.len() + 1] = [$($limit as u32,)* MAX_PAYLOAD];

            /// The command on the wire, such as `getaddr`.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Custom(command) => command.name(),
                }
            }

            /// The largest payload that the protocol allows for this type of message, in bytes. 32 MiB for a custom
            /// command.
            #[must_use]
            pub fn payload_limit(self) -> u32 {
                match self {
                    $(Self::$variant => const { $limit as u32 },)*
                    Self::Custom(_) => MAX_PAYLOAD,
                }
            }

            /// Parses the command field of a header. `None` if it is malformed.
            #[allow(non_upper_case_globals)]
            #[inline]
            pub(crate) fn from_field(field: &[u8; 12]) -> Option<Self> {
                $(const $variant: u128 = packed($name.as_bytes());)*
                let mut wide = [0; 16];
                wide.first_chunk_mut::<12>()?.copy_from_slice(field);
                match u128::from_le_bytes(wide) {
                    $($variant => Some(Self::$variant),)*
                    _ if well_formed(field) => Some(Self::Custom(CustomCommand(*field))),
                    _ => None,
                }
            }

            /// The command field of a header.
            #[inline]
            pub(crate) fn to_field(self) -> [u8; 12] {
                match self {
                    $(Self::$variant => const { packed($name.as_bytes()).to_le_bytes() }.first_chunk().copied().unwrap_or_default(),)*
                    Self::Custom(CustomCommand(field)) => field,
                }
            }

            /// The index of the command in [`ALL`](Self::ALL). All custom commands share the index after the last.
            #[inline]
            pub(crate) fn index(self) -> usize {
                #[allow(dead_code)]
                enum Index { $($variant,)* Custom }
                (match self {
                    $(Self::$variant => Index::$variant,)*
                    Self::Custom(_) => Index::Custom,
                }) as usize
            }
        }
    };
}

for_each_message!(commands);

impl Command {
    /// `true` if this is one of the protocol's 25 commands, and not a custom one.
    #[must_use]
    pub fn is_known(self) -> bool {
        !matches!(self, Self::Custom(_))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Command {
    type Err = ParseError;

    /// Parses 1 to 12 printable ASCII characters. Text other than the protocol's 25 commands becomes
    /// [`Command::Custom`].
    fn from_str(name: &str) -> Result<Self, ParseError> {
        let mut field = [0; 12];
        field
            .get_mut(..name.len())
            .map(|start| start.copy_from_slice(name.as_bytes()))
            .and_then(|()| Self::from_field(&field))
            .filter(|command| command.name() == name)
            .ok_or_else(|| ParseError::new(name, "a command", "1 to 12 printable ASCII characters"))
    }
}
