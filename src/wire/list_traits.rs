//! `IntoIterator`, `Extend`, `FromIterator` and `From<Vec>` for the messages that are lists.

use super::address::{Addr, TimedAddress};
use super::block_header::{BlockHeader, Headers};
use super::hash::Hash;
use super::inventory::{GetData, Inv, Inventory, NotFound};
use super::locator::Locator;
use std::{slice, vec};

macro_rules! lists {
    ($($list:ident $field:ident $item:ident;)*) => {$(
        impl IntoIterator for $list {
            type Item = $item;
            type IntoIter = vec::IntoIter<$item>;

            fn into_iter(self) -> Self::IntoIter {
                self.$field.into_iter()
            }
        }

        impl<'a> IntoIterator for &'a $list {
            type Item = &'a $item;
            type IntoIter = slice::Iter<'a, $item>;

            fn into_iter(self) -> Self::IntoIter {
                self.$field.iter()
            }
        }

        impl Extend<$item> for $list {
            fn extend<I: IntoIterator<Item = $item>>(&mut self, items: I) {
                self.$field.extend(items);
            }
        }
    )*};
}

lists! {
    Inv items Inventory;
    GetData items Inventory;
    NotFound items Inventory;
    Headers headers BlockHeader;
    Locator hashes Hash;
    Addr addresses TimedAddress;
}

/// For messages that have no other field than the list.
macro_rules! only_lists {
    ($($list:ident $field:ident $item:ident;)*) => {$(
        impl From<Vec<$item>> for $list {
            fn from($field: Vec<$item>) -> Self {
                Self { $field }
            }
        }

        impl FromIterator<$item> for $list {
            fn from_iter<I: IntoIterator<Item = $item>>(items: I) -> Self {
                Self { $field: items.into_iter().collect() }
            }
        }
    )*};
}

only_lists! {
    Inv items Inventory;
    GetData items Inventory;
    NotFound items Inventory;
    Headers headers BlockHeader;
    Locator hashes Hash;
}
