//! The parts of the program that a connection uses while it lives: the callbacks, the view of the block DAG, the
//! capture.

use super::callbacks::Callbacks;
use crate::peer::capture::{Capture, Entry};
use crate::peer::dag_view::DagView;
use crate::peer::locks::Mutex;
use crate::peer::panic::drop_caught;
use crate::wire::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// The parts of the program that the threads of a connection use. Each thread holds a reference. Only the view of the
/// block DAG is also in [`DagOfHandles`], which the last thread clears. So the parts are dropped when the last thread
/// exits, even if handles of the peer remain. Each part may hold such a handle itself.
pub(in crate::peer) struct Program {
    pub callbacks: Box<dyn Callbacks>,
    pub dag: Option<Arc<dyn DagView>>,
    pub capture: Option<Capture>,
}

impl Program {
    /// Adds a record to the capture, if there is one. `peer` is the id of the peer.
    pub fn record(&self, peer: u64, entry: Entry<'_>) {
        if let Some(capture) = &self.capture {
            capture.record(peer, entry);
        }
    }

    /// The selected tip that the [`DagView`] names. [`Hash::ZERO`] if there is no view.
    pub fn selected_tip(&self) -> Hash {
        self.dag.as_ref().map_or(Hash::ZERO, DagView::selected_tip)
    }

    /// Drops a reference. The last one drops the parts, whose destructors may panic. They are dropped one by one,
    /// because two panics of destructors at once abort the process.
    pub fn release(program: Arc<Self>) {
        if let Some(Self { callbacks, dag, capture }) = Arc::into_inner(program) {
            drop_caught(callbacks);
            drop_caught(dag);
            drop_caught(capture);
        }
    }
}

/// The view of the block DAG for the handles of a peer. The last thread clears it after the last callback, so that a
/// handle of an ended peer does not keep the view, and a view that holds a handle of its own peer is dropped.
#[derive(Default)]
pub(in crate::peer) struct DagOfHandles(Mutex<Option<Arc<dyn DagView>>>);

impl DagOfHandles {
    pub fn set(&self, dag: Option<Arc<dyn DagView>>) {
        *self.0.lock() = dag;
    }

    pub fn clear(&self) {
        let dag = self.0.lock().take();
        drop_caught(dag);
    }

    /// Asks the view whether it knows a block. Returns `false` if there is no view.
    pub fn is_known(&self, block: &Hash) -> bool {
        let dag = self.0.lock().clone();
        let Some(dag) = dag else { return false };
        let known = catch_unwind(AssertUnwindSafe(|| dag.is_known(block)));
        // This may be the last reference, if the peer has ended meanwhile. It is dropped before the panic of the view
        // continues: if its destructor panicked while that panic unwinds, the process would abort.
        drop_caught(dag);
        known.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
