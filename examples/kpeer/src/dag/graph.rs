//! The graph of a block DAG, indexed so that the work for a request grows with its answer and not with the DAG.
//!
//! The *selected chain* goes from the selected tip to the genesis block along first parents. The *order* lists the past
//! of the selected tip: for each block of the selected chain, first the blocks that it merges (those in its past that
//! are not in the past of its first parent), then the block itself. So the past of a block of the selected chain is
//! what precedes it in the order.

use crate::options::Failure;
use kaspa_peer::wire::Hash;
use std::collections::{HashMap, HashSet};
#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most parents that all blocks together may have. A node can give each of its blocks 255 parents, and each parent
/// takes 4 bytes here: 400 MB together. Blocks of kaspad have at most 10 parents, so ten million of them fit.
const MAX_PARENTS: usize = 100_000_000;

/// The index of a block in [`Graph::nodes`]. Each block but the first has a parent, so [`MAX_PARENTS`] limits it, too.
type Index = u32;

/// A block.
struct Node {
    hash: Hash,
    /// Where its parents begin in [`Graph::parents`]. They end where those of the next block begin.
    parents: u32,
    /// The number of blocks below this one on its chain of first parents.
    height: u32,
    /// A block further down that chain. Following these finds a block at a given height in a logarithmic number of
    /// steps.
    jump: Index,
    /// The first block of the selected chain on the chain of first parents from here.
    on_selected_chain: Index,
    /// The position in the order; `None` for a block that the selected tip does not merge.
    position: Option<u32>,
}

/// The answer of [`Graph::between`].
#[derive(Debug, PartialEq, Eq)]
pub struct Between {
    /// Parents come before children.
    pub blocks: Vec<Hash>,
    /// How many blocks of the order were looked at. It can be many more than there are in the answer.
    pub looked_at: usize,
}

/// Blocks, of which parents come before children. The first is the genesis block, the last the selected tip. The first
/// parent of a block counts as its selected parent.
pub struct Graph {
    nodes: Vec<Node>,
    /// The parents of the first block, then those of the second, and so on.
    parents: Vec<Index>,
    max_parents: usize,
    indexes: HashMap<Hash, Index>,
    order: Vec<Index>,
    /// The blocks that are not in the order, the oldest first.
    unmerged: Vec<Index>,
    #[cfg(test)]
    visits: AtomicUsize,
}

impl Graph {
    /// A graph of one block.
    pub fn new(genesis: Hash) -> Self {
        let mut graph = Self {
            nodes: Vec::new(),
            parents: Vec::new(),
            max_parents: MAX_PARENTS,
            indexes: HashMap::new(),
            order: Vec::new(),
            unmerged: Vec::new(),
            #[cfg(test)]
            visits: AtomicUsize::new(0),
        };
        graph.nodes.push(Node { hash: genesis, parents: 0, height: 0, jump: 0, on_selected_chain: 0, position: None });
        graph.indexes.insert(genesis, 0);
        graph.rebuild_order();
        graph
    }

    /// Adds a block, and leaves the order as it is. To add many blocks, call this for each, parents first, and then
    /// [`rebuild_order`](Self::rebuild_order). Returns its index.
    pub fn append(&mut self, hash: Hash, parents: &[Hash]) -> Result<usize, Failure> {
        if parents.len() > self.max_parents.saturating_sub(self.parents.len()) {
            return Err(format!("the blocks have more than {} parents together", self.max_parents).into());
        }
        let start = self.parents.len();
        for parent in parents {
            match self.indexes.get(parent) {
                Some(parent) => self.parents.push(*parent),
                None => {
                    self.parents.truncate(start);
                    return Err(format!("the parent {parent} is unknown").into());
                }
            }
        }
        let index = Index::try_from(self.nodes.len())?;
        let above = self.parents.get(start).and_then(|parent| self.jump_above(*parent));
        let (height, jump) = above.unwrap_or((0, index));
        let parents = u32::try_from(start)?;
        self.nodes.push(Node { hash, parents, height, jump, on_selected_chain: index, position: None });
        self.indexes.insert(hash, index);
        Ok(index as usize)
    }

    /// Adds a block, which becomes the selected tip. Returns its index.
    pub fn push(&mut self, hash: Hash, parents: &[Hash]) -> Result<usize, Failure> {
        let on_top = parents.first().is_some_and(|parent| *parent == self.selected_tip());
        let index = self.append(hash, parents)?;
        if on_top {
            self.merge(Index::try_from(index)?);
        } else {
            self.rebuild_order();
        }
        Ok(index)
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn find(&self, hash: &Hash) -> Option<usize> {
        self.index(hash).map(|index| index as usize)
    }

    pub fn parent_count(&self, index: usize) -> usize {
        Index::try_from(index).map_or(0, |index| self.parents(index).len())
    }

    pub fn selected_tip(&self) -> Hash {
        self.nodes.last().map_or(Hash::ZERO, |node| node.hash)
    }

    /// The blocks that have no children, the selected tip last.
    pub fn tips(&self) -> Vec<Hash> {
        let mut is_parent = vec![false; self.nodes.len()];
        for parent in &self.parents {
            if let Some(is_parent) = is_parent.get_mut(*parent as usize) {
                *is_parent = true;
            }
        }
        self.nodes.iter().zip(is_parent).filter(|(_, is_parent)| !is_parent).map(|(node, _)| node.hash).collect()
    }

    /// A locator as kaspad makes it: blocks of the chain of first parents, from the parent of `high` down, with gaps
    /// that double. It stops where the next one would be below `low`, or below the genesis block if `low` is unknown or
    /// not on that chain. `None` if `high` is unknown.
    pub fn locator(&self, high: &Hash, low: &Hash) -> Option<Vec<Hash>> {
        let high = self.index(high)?;
        let lowest = self.index(low).and_then(|low| self.height_below(high, low)).unwrap_or(0);
        let mut locator = Vec::new();
        let (mut at, mut gap) = (high, 1);
        while let Some(height) = self.node(at)?.height.checked_sub(gap).filter(|height| *height >= lowest) {
            at = self.ancestor(at, height)?;
            locator.push(self.node(at)?.hash);
            // The first block is the parent of `high`, the second the parent of that, and from there the gaps double.
            gap = if locator.len() == 1 { 1 } else { gap * 2 };
        }
        Some(locator)
    }

    /// At most `max` blocks up to `high` that are not in the past of `low`, parents first; `None` if `high` is unknown.
    ///
    /// With more than `max`, it returns those that the selected chain merges first, so `max` must be larger than what
    /// one block merges. An unknown `low` is the genesis block. Of a `low` beside the selected chain, only the past
    /// that it shares with the selected chain is left out. Up to the selected tip there are all blocks, so that other
    /// tips come with it. It looks at no more than `max` blocks.
    pub fn between(&self, low: &Hash, high: &Hash, max: usize) -> Option<Between> {
        let high = self.index(high)?;
        let low = self.node(self.index(low).unwrap_or(0))?.on_selected_chain;
        let start = self.node(low)?.position? as usize + 1;
        let last = self.order.len().checked_sub(1)?;
        let end = self.node(high)?.position.map_or(last, |position| position as usize);
        let merged = self.order.get(start..=end).unwrap_or_default().iter();
        let unmerged = if end == last { self.unmerged.as_slice() } else { &[] };
        let looked_at = max.min(merged.len() + unmerged.len());
        let mut found: Vec<Index> = merged.chain(unmerged).take(max).copied().filter(|index| *index <= high).collect();
        found.sort_unstable();
        let blocks = found.into_iter().map(|index| self.node(index).map(|node| node.hash)).collect::<Option<_>>()?;
        Some(Between { blocks, looked_at })
    }

    /// The height of `low` if it is on the chain of first parents below `high`.
    fn height_below(&self, high: Index, low: Index) -> Option<u32> {
        let height = self.node(low)?.height;
        (low != high && self.ancestor(high, height)? == low).then_some(height)
    }

    /// The block at a height of the chain of first parents from `from`.
    fn ancestor(&self, from: Index, height: u32) -> Option<Index> {
        let mut at = from;
        loop {
            let node = self.node(at)?;
            at = match node.height.checked_sub(height)? {
                0 => return Some(at),
                _ if self.node(node.jump)?.height >= height => node.jump,
                _ => *self.parents(at).first()?,
            };
        }
    }

    /// The height and the jump of a block whose first parent is `parent`. The jumps are those of a skew-binary list:
    /// two jumps of equal length are followed by one over both.
    fn jump_above(&self, parent: Index) -> Option<(u32, Index)> {
        let below = self.node(parent)?;
        let first = self.node(below.jump)?;
        let second = self.node(first.jump)?;
        let equal = below.height - first.height == first.height - second.height;
        Some((below.height + 1, if equal { first.jump } else { parent }))
    }

    /// Computes the order for the last block as selected tip.
    pub fn rebuild_order(&mut self) {
        self.order.clear();
        self.unmerged.clear();
        self.nodes.iter_mut().for_each(|node| node.position = None);
        let tip = self.index(&self.selected_tip());
        let mut chain: Vec<Index> = std::iter::successors(tip, |index| self.parents(*index).first().copied()).collect();
        chain.reverse();
        chain.iter().for_each(|index| self.merge(*index));
        let mut chain = chain.into_iter().peekable();
        for index in (0..).take(self.nodes.len()) {
            let below = self.parents(index).first().and_then(|below| self.nodes.get(*below as usize));
            let on_selected_chain = match chain.next_if_eq(&index) {
                Some(_) => index,
                None => below.map_or(0, |below| below.on_selected_chain),
            };
            if let Some(node) = self.nodes.get_mut(index as usize) {
                node.on_selected_chain = on_selected_chain;
                if node.position.is_none() {
                    self.unmerged.push(index);
                }
            }
        }
    }

    /// Appends a block to the order whose first parent is the last one there, after the blocks that it merges.
    fn merge(&mut self, index: Index) {
        let mut merged = vec![index];
        let mut next = 0;
        let mut seen = HashSet::new();
        while let Some(index) = merged.get(next) {
            let parents = self.parents(*index).iter().filter(|parent| !self.is_ordered(**parent));
            merged.extend(parents.filter(|parent| seen.insert(**parent)));
            next += 1;
        }
        merged.sort_unstable();
        for index in merged {
            if let Some(node) = self.nodes.get_mut(index as usize) {
                // There are no more positions than indexes.
                node.position = u32::try_from(self.order.len()).ok();
            }
            self.order.push(index);
        }
        let mut unmerged = std::mem::take(&mut self.unmerged);
        unmerged.retain(|index| !self.is_ordered(*index));
        self.unmerged = unmerged;
    }

    fn is_ordered(&self, index: Index) -> bool {
        self.nodes.get(index as usize).is_some_and(|node| node.position.is_some())
    }

    fn index(&self, hash: &Hash) -> Option<Index> {
        self.indexes.get(hash).copied()
    }

    fn parents(&self, index: Index) -> &[Index] {
        let start = |index: usize| self.nodes.get(index).map_or(self.parents.len(), |node| node.parents as usize);
        self.parents.get(start(index as usize)..start(index as usize + 1)).unwrap_or_default()
    }

    fn node(&self, index: Index) -> Option<&Node> {
        #[cfg(test)]
        self.visits.fetch_add(1, Ordering::Relaxed);
        self.nodes.get(index as usize)
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
