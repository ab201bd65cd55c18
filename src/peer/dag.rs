//! What the peer asks about the caller's block DAG.

use crate::wire::Hash;

/// A view of the caller's block DAG. The default knows no block.
pub trait DagView: Send + Sync + 'static {
    /// The selected tip, told to each remote in our `version`; [`Hash::ZERO`] when there is none.
    fn selected_tip(&self) -> Hash {
        Hash::ZERO
    }

    /// Whether a block is in the DAG.
    fn is_known(&self, block: &Hash) -> bool {
        let _ = block;
        false
    }
}

/// Knows no block.
impl DagView for () {}
