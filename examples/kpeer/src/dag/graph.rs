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

/// A block, with the indexes of other blocks in [`Graph::nodes`].
struct Node {
    hash: Hash,
    parents: Vec<usize>,
    /// The number of blocks below this one on its chain of first parents.
    height: usize,
    /// A block further down that chain. Following these finds a block at a given height in a logarithmic number of
    /// steps.
    jump: usize,
    /// The first block of the selected chain on the chain of first parents from here.
    on_selected_chain: usize,
    /// The position in the order; `None` for a block that the selected tip does not merge.
    position: Option<usize>,
}

/// Blocks, of which parents come before children. The first is the genesis block, the last the selected tip. The first
/// parent of a block counts as its selected parent.
pub struct Graph {
    nodes: Vec<Node>,
    indexes: HashMap<Hash, usize>,
    order: Vec<usize>,
    /// The blocks that are not in the order, the oldest first.
    unmerged: Vec<usize>,
    #[cfg(test)]
    visits: AtomicUsize,
}

impl Graph {
    /// A graph of one block.
    pub fn new(genesis: Hash) -> Self {
        let mut graph = Self {
            nodes: Vec::new(),
            indexes: HashMap::new(),
            order: Vec::new(),
            unmerged: Vec::new(),
            #[cfg(test)]
            visits: AtomicUsize::new(0),
        };
        graph.add(genesis, Vec::new());
        graph.rebuild_order();
        graph
    }

    /// Adds many blocks, parents first.
    pub fn extend(&mut self, blocks: impl IntoIterator<Item = (Hash, Vec<Hash>)>) -> Result<(), Failure> {
        for (hash, parents) in blocks {
            let parents = self.find_all(&parents)?;
            self.add(hash, parents);
        }
        self.rebuild_order();
        Ok(())
    }

    /// Adds a block, which becomes the selected tip. Returns its index.
    pub fn push(&mut self, hash: Hash, parents: &[Hash]) -> Result<usize, Failure> {
        let parents = self.find_all(parents)?;
        let on_top = parents.first().is_some_and(|parent| *parent + 1 == self.nodes.len());
        let index = self.add(hash, parents);
        if on_top {
            self.merge(index);
        } else {
            self.rebuild_order();
        }
        Ok(index)
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn find(&self, hash: &Hash) -> Option<usize> {
        self.indexes.get(hash).copied()
    }

    pub fn parent_count(&self, index: usize) -> usize {
        self.node(index).map_or(0, |node| node.parents.len())
    }

    pub fn selected_tip(&self) -> Hash {
        self.nodes.last().map_or(Hash::ZERO, |node| node.hash)
    }

    /// The blocks that have no children, the selected tip last.
    pub fn tips(&self) -> Vec<Hash> {
        let mut is_parent = vec![false; self.nodes.len()];
        for parent in self.nodes.iter().flat_map(|node| &node.parents) {
            if let Some(is_parent) = is_parent.get_mut(*parent) {
                *is_parent = true;
            }
        }
        self.nodes.iter().zip(is_parent).filter(|(_, is_parent)| !is_parent).map(|(node, _)| node.hash).collect()
    }

    /// A locator as kaspad makes it: blocks of the chain of first parents, from the parent of `high` down, with gaps
    /// that double. It stops where the next one would be below `low`, or below the genesis block if `low` is unknown or
    /// not on that chain. `None` if `high` is unknown.
    pub fn locator(&self, high: &Hash, low: &Hash) -> Option<Vec<Hash>> {
        let high = self.find(high)?;
        let lowest = self.find(low).and_then(|low| self.height_below(high, low)).unwrap_or(0);
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
    /// tips come with it.
    pub fn between(&self, low: &Hash, high: &Hash, max: usize) -> Option<Vec<Hash>> {
        let high = self.find(high)?;
        let low = self.node(self.find(low).unwrap_or(0))?.on_selected_chain;
        let start = self.node(low)?.position? + 1;
        let last = self.order.len().checked_sub(1)?;
        let end = self.node(high)?.position.unwrap_or(last);
        let merged = self.order.get(start..=end).unwrap_or_default().iter();
        let unmerged = if end == last { self.unmerged.as_slice() } else { &[] };
        let mut found: Vec<usize> = merged.chain(unmerged).take(max).copied().filter(|index| *index <= high).collect();
        found.sort_unstable();
        found.into_iter().map(|index| self.node(index).map(|node| node.hash)).collect()
    }

    /// The height of `low` if it is on the chain of first parents below `high`.
    fn height_below(&self, high: usize, low: usize) -> Option<usize> {
        let height = self.node(low)?.height;
        (low != high && self.ancestor(high, height)? == low).then_some(height)
    }

    /// The block at a height of the chain of first parents from `from`.
    fn ancestor(&self, from: usize, height: usize) -> Option<usize> {
        let mut at = from;
        loop {
            let node = self.node(at)?;
            at = match node.height.checked_sub(height)? {
                0 => return Some(at),
                _ if self.node(node.jump)?.height >= height => node.jump,
                _ => *node.parents.first()?,
            };
        }
    }

    fn find_all(&self, hashes: &[Hash]) -> Result<Vec<usize>, Failure> {
        hashes
            .iter()
            .map(|hash| self.find(hash).ok_or_else(|| format!("the parent {hash} is unknown").into()))
            .collect()
    }

    fn add(&mut self, hash: Hash, parents: Vec<usize>) -> usize {
        let index = self.nodes.len();
        let (height, jump) = parents.first().and_then(|parent| self.jump_above(*parent)).unwrap_or((0, index));
        self.nodes.push(Node { hash, parents, height, jump, on_selected_chain: index, position: None });
        self.indexes.insert(hash, index);
        index
    }

    /// The height and the jump of a block whose first parent is `parent`. The jumps are those of a skew-binary list:
    /// two jumps of equal length are followed by one over both.
    fn jump_above(&self, parent: usize) -> Option<(usize, usize)> {
        let below = self.node(parent)?;
        let first = self.node(below.jump)?;
        let second = self.node(first.jump)?;
        let equal = below.height - first.height == first.height - second.height;
        Some((below.height + 1, if equal { first.jump } else { parent }))
    }

    /// Computes the order for the last block as selected tip.
    fn rebuild_order(&mut self) {
        self.order.clear();
        self.unmerged.clear();
        self.nodes.iter_mut().for_each(|node| node.position = None);
        let parent = |index: &usize| self.nodes.get(*index)?.parents.first().copied();
        let mut chain: Vec<usize> = std::iter::successors(self.nodes.len().checked_sub(1), parent).collect();
        chain.reverse();
        chain.iter().for_each(|index| self.merge(*index));
        let mut chain = chain.into_iter().peekable();
        for index in 0..self.nodes.len() {
            let below = self.nodes.get(index).and_then(|node| node.parents.first()).copied();
            let on_selected_chain = match chain.next_if_eq(&index) {
                Some(_) => index,
                None => below.and_then(|below| self.nodes.get(below)).map_or(0, |below| below.on_selected_chain),
            };
            if let Some(node) = self.nodes.get_mut(index) {
                node.on_selected_chain = on_selected_chain;
                if node.position.is_none() {
                    self.unmerged.push(index);
                }
            }
        }
    }

    /// Appends a block to the order whose first parent is the last one there, after the blocks that it merges.
    fn merge(&mut self, index: usize) {
        let mut merged = vec![index];
        let mut next = 0;
        let mut seen = HashSet::new();
        while let Some(node) = merged.get(next).and_then(|index| self.nodes.get(*index)) {
            let new = |parent: &&usize| self.nodes.get(**parent).is_some_and(|parent| parent.position.is_none());
            let parents: Vec<usize> = node.parents.iter().filter(new).copied().collect();
            merged.extend(parents.into_iter().filter(|parent| seen.insert(*parent)));
            next += 1;
        }
        merged.sort_unstable();
        for index in merged {
            if let Some(node) = self.nodes.get_mut(index) {
                node.position = Some(self.order.len());
            }
            self.order.push(index);
        }
        let nodes = &self.nodes;
        self.unmerged.retain(|index| nodes.get(*index).is_some_and(|node| node.position.is_none()));
    }

    fn node(&self, index: usize) -> Option<&Node> {
        #[cfg(test)]
        self.visits.fetch_add(1, Ordering::Relaxed);
        self.nodes.get(index)
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
