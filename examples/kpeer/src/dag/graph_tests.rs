//! Answers of the graph, against plain definitions of them, and the work that they take.

use super::*;
use serde_json::Value;
use std::collections::BTreeSet;

/// Not a real hash: tests compute thousands of them.
fn hash(number: usize) -> Hash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Hash::from_bytes(bytes)
}

fn hashes(numbers: impl IntoIterator<Item = usize>) -> Vec<Hash> {
    numbers.into_iter().map(hash).collect()
}

/// A graph whose block `number` has the parents `parents[number]`.
fn graph(parents: &[Vec<usize>]) -> Graph {
    let mut graph = Graph::new(hash(0));
    for (number, parents) in parents.iter().enumerate().skip(1) {
        graph.append(hash(number), &hashes(parents.iter().copied())).unwrap();
    }
    graph.rebuild_order();
    graph
}

fn chain(height: usize) -> Graph {
    let parents: Vec<Vec<usize>> = (0..=height).map(|number| number.checked_sub(1).into_iter().collect()).collect();
    graph(&parents)
}

/// A graph of 200 blocks with up to three parents each, some of which nobody merges. The same seed makes the same
/// graph.
fn random(seed: u64) -> Vec<Vec<usize>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % end as u64).unwrap()
    };
    let mut parents = vec![Vec::new()];
    for number in 1..200 {
        let window = number.min(6);
        let mut some: Vec<usize> = (0..=below(3)).map(|_| number - 1 - below(window)).collect();
        let mut seen = BTreeSet::new();
        some.retain(|parent| seen.insert(*parent));
        parents.push(some);
    }
    parents
}

/// A block and its past.
fn with_past(parents: &[Vec<usize>], number: usize) -> BTreeSet<usize> {
    let mut past = BTreeSet::from([number]);
    for number in (0..=number).rev() {
        if past.contains(&number) {
            past.extend(&parents[number]);
        }
    }
    past
}

#[test]
fn locators_are_those_of_kaspad() {
    let vectors: Value = serde_json::from_str(include_str!("../../tests/data/locators.json")).unwrap();
    let locators = vectors["locators"].as_array().unwrap();
    assert!(locators.len() > 30);
    for vector in locators {
        let height = usize::try_from(vector["height"].as_u64().unwrap()).unwrap();
        let heights = vector["locator_heights"].as_array().unwrap().iter();
        let expected = hashes(heights.map(|height| usize::try_from(height.as_u64().unwrap()).unwrap()));
        assert_eq!(chain(height).locator(&hash(height), &hash(0)), Some(expected), "{vector}");
    }
}

#[test]
fn a_locator_does_not_go_below_its_low_block() {
    let chain = chain(20);
    let locator = |low| chain.locator(&hash(20), &hash(low)).unwrap();
    assert_eq!(locator(12), hashes([19, 18, 16, 12]));
    assert_eq!(locator(13), hashes([19, 18, 16]));
    assert_eq!(locator(19), hashes([19]));
}

#[test]
fn a_locator_follows_first_parents() {
    for seed in 0..20 {
        let parents = random(seed);
        let graph = graph(&parents);
        for high in [1, 7, 50, 123, 199] {
            let below: Vec<usize> =
                std::iter::successors(Some(high), |at| parents[*at].first().copied()).skip(1).collect();
            let positions =
                std::iter::successors(Some((0, 1)), |(at, gap)| Some((at + gap, gap * 2))).map(|(at, _)| at);
            let expected = hashes(positions.map_while(|at| below.get(at).copied()));
            assert_eq!(graph.locator(&hash(high), &hash(0)), Some(expected), "seed {seed}, high {high}");
        }
    }
}

#[test]
fn all_blocks_above_a_block_of_the_selected_chain_are_found() {
    for seed in 0..10 {
        let parents = random(seed);
        let graph = graph(&parents);
        let chain = std::iter::successors(Some(199), |at| parents[*at].first().copied());
        let pasts: Vec<(usize, BTreeSet<usize>)> = chain.map(|number| (number, with_past(&parents, number))).collect();
        for (low, known) in pasts.iter().step_by(3) {
            let found = graph.between(&hash(*low), &hash(199), usize::MAX).unwrap().blocks;
            // The selected tip brings the blocks that it does not merge.
            assert_eq!(found, hashes((0..200).filter(|number| !known.contains(number))), "seed {seed}, low {low}");
            for (high, past) in pasts.iter().skip(1).step_by(5) {
                let found = graph.between(&hash(*low), &hash(*high), usize::MAX).unwrap().blocks;
                assert_eq!(found, hashes(past.difference(known).copied()), "seed {seed}, {low} to {high}");
            }
        }
    }
}

#[test]
fn any_two_blocks_have_an_answer_that_lacks_no_parent() {
    for seed in 0..20 {
        let parents = random(seed);
        let graph = graph(&parents);
        for (low, high, max) in (0..200).flat_map(|low| [(low, 199, 10), (199 - low, low, usize::MAX), (low, 150, 3)]) {
            let mut known: BTreeSet<Hash> = with_past(&parents, low).into_iter().map(hash).collect();
            let found = graph.between(&hash(low), &hash(high), max).unwrap().blocks;
            assert!(found.len() <= max);
            for block in found {
                let parents = &parents[graph.find(&block).unwrap()];
                assert!(parents.iter().all(|parent| known.contains(&hash(*parent))), "seed {seed}, {low} to {high}");
                known.insert(block);
            }
        }
    }
}

#[test]
fn a_node_that_asks_again_above_what_it_has_gets_everything() {
    // At least as many as one block merges here.
    for (seed, max) in [(1, 30), (2, 40), (3, 70), (4, 150)] {
        let parents = random(seed);
        let graph = graph(&parents);
        let chain: Vec<usize> = std::iter::successors(Some(199), |at| parents[*at].first().copied()).collect();
        let mut known = BTreeSet::from([hash(0)]);
        while !known.contains(&hash(199)) {
            let low = chain.iter().find(|number| known.contains(&hash(**number))).unwrap();
            let before = known.len();
            known.extend(graph.between(&hash(*low), &hash(199), max).unwrap().blocks);
            assert!(known.len() > before, "seed {seed}: no progress with {before} blocks");
        }
        let unmerged = graph.between(&hash(199), &hash(199), usize::MAX).unwrap().blocks;
        assert_eq!(known.len() + unmerged.iter().filter(|hash| !known.contains(*hash)).count(), 200);
    }
}

#[test]
fn blocks_that_are_pushed_are_ordered_like_blocks_that_were_there() {
    for seed in 0..20 {
        let parents = random(seed);
        let whole = graph(&parents);
        let mut grown = graph(&parents[..50]);
        for (number, parents) in parents.iter().enumerate().skip(50) {
            grown.push(hash(number), &hashes(parents.iter().copied())).unwrap();
        }
        assert_eq!((&grown.order, &grown.unmerged), (&whole.order, &whole.unmerged), "seed {seed}");
        let chains = |graph: &Graph| graph.nodes.iter().map(|node| node.on_selected_chain).collect::<Vec<_>>();
        assert_eq!(chains(&grown), chains(&whole), "seed {seed}");
    }
}

#[test]
fn blocks_that_an_answer_leaves_out_count_as_looked_at() {
    // Block 1 is beside a chain that was added after it, so all blocks of the chain are above it in the order.
    let chain = (2..1000).map(|number| vec![if number == 2 { 0 } else { number - 1 }]);
    let graph = graph(&[vec![], vec![0]].into_iter().chain(chain).collect::<Vec<_>>());
    let between = |high, max| graph.between(&hash(0), &hash(high), max).unwrap();
    assert_eq!(between(1, usize::MAX), Between { blocks: hashes([1]), looked_at: 999 });
    assert_eq!(between(1, 50), Between { blocks: vec![], looked_at: 50 });
    assert_eq!(between(2, usize::MAX), Between { blocks: hashes([2]), looked_at: 1 });
}

/// How many blocks a request makes the graph look at.
fn work<T>(graph: &Graph, request: impl FnOnce(&Graph) -> Option<T>) -> usize {
    graph.visits.store(0, Ordering::Relaxed);
    assert!(request(graph).is_some());
    graph.visits.load(Ordering::Relaxed)
}

#[test]
fn the_work_for_a_request_does_not_grow_with_the_dag() {
    for height in [1_000, 100_000] {
        let graph = chain(height);
        for (low, high) in [(0, height), (height - 20, height), (0, height / 2), (height / 2, height / 2 + 20)] {
            let (low, high) = (hash(low), hash(high));
            let locator = work(&graph, |graph| graph.locator(&high, &low));
            assert!(locator < 1000, "a locator below height {height} takes {locator}");
            let between = work(&graph, |graph| graph.between(&low, &high, 50));
            assert!(between < 100, "50 blocks of {height} take {between}");
        }
    }
}

#[test]
fn the_number_of_all_parents_together_is_limited() {
    let mut graph = graph(&[vec![], vec![0], vec![1, 0]]);
    graph.max_parents = 5;
    let error = graph.append(hash(3), &hashes([2, 1, 0])).unwrap_err().to_string();
    assert_eq!(error, "the blocks have more than 5 parents together");
    assert!(graph.append(hash(3), &hashes([2, 9])).is_err(), "an unknown parent");
    // The refused block left nothing behind.
    assert_eq!(graph.append(hash(3), &hashes([2, 1])).unwrap(), 3);
    assert_eq!((graph.parent_count(2), graph.parent_count(3)), (2, 2));
}
