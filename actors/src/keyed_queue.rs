//! Entries that are found by their key, and leave in the order in which they came: what waits for the same time-out, or is
//! remembered for the same time.
//!
//! They lie in blocks that are never moved, so that a queue that grows has no second copy of itself for a moment; the index
//! holds but their numbers. An entry costs its value and about 60 bytes.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use tokio::time::Instant;

use crate::key::Key;

const BLOCK_BITS: u32 = 10;
const BLOCK: usize = 1 << BLOCK_BITS;
/// The number of no entry.
const NONE: u32 = u32::MAX;
/// How many entries a queue can have at most.
pub(crate) const MOST: usize = NONE as usize - BLOCK;

#[derive(Debug)]
pub(crate) struct KeyedQueue<V> {
    index: HashTable<u32>,
    hasher: RandomState,
    blocks: Vec<Vec<Slot<V>>>,
    /// The first of the empty slots, each of which names the next.
    free: u32,
    oldest: u32,
    newest: u32,
}

#[derive(Debug)]
enum Slot<V> {
    Empty { next: u32 },
    Full(Entry<V>),
}

#[derive(Debug)]
struct Entry<V> {
    key: Key,
    since: Instant,
    older: u32,
    newer: u32,
    value: V,
}

impl<V> KeyedQueue<V> {
    pub(crate) fn new() -> Self {
        Self {
            index: HashTable::new(),
            hasher: RandomState::new(),
            blocks: Vec::new(),
            free: NONE,
            oldest: NONE,
            newest: NONE,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut V> {
        let hash = self.hasher.hash_one(key);
        let number = *self.index.find(hash, |number| self.entry(*number).is_some_and(|entry| entry.key == key))?;
        self.entry_mut(number).map(|entry| &mut entry.value)
    }

    /// Adds an entry as the newest. Its key is not there yet, and there are fewer than [`MOST`].
    pub(crate) fn push(&mut self, key: Key, since: Instant, value: V) {
        let older = self.newest;
        let number = self.fill(Entry { key, since, older, newer: NONE, value });
        self.newest = number;
        match self.entry_mut(older) {
            Some(entry) => entry.newer = number,
            None => self.oldest = number,
        }
        let (hasher, blocks) = (&self.hasher, &self.blocks);
        self.index.insert_unique(hasher.hash_one(key), number, |number| {
            let Slot::Full(entry) = &blocks[block_of(*number)][place_of(*number)] else { return 0 };
            hasher.hash_one(entry.key)
        });
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<V> {
        let hash = self.hasher.hash_one(key);
        let blocks = &self.blocks;
        let is_it = |number: &u32| match &blocks[block_of(*number)][place_of(*number)] {
            Slot::Full(entry) => entry.key == key,
            Slot::Empty { .. } => false,
        };
        let number = self.index.find_entry(hash, is_it).ok()?.remove().0;
        self.empty(number)
    }

    /// Returns since when the oldest entry is there.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.entry(self.oldest).map(|entry| entry.since)
    }

    /// Takes the oldest entry.
    pub(crate) fn pop(&mut self) -> Option<V> {
        let key = self.entry(self.oldest)?.key;
        self.remove(key)
    }

    fn entry(&self, number: u32) -> Option<&Entry<V>> {
        match self.blocks.get(block_of(number))?.get(place_of(number))? {
            Slot::Full(entry) => Some(entry),
            Slot::Empty { .. } => None,
        }
    }

    fn entry_mut(&mut self, number: u32) -> Option<&mut Entry<V>> {
        match self.blocks.get_mut(block_of(number))?.get_mut(place_of(number))? {
            Slot::Full(entry) => Some(entry),
            Slot::Empty { .. } => None,
        }
    }

    fn fill(&mut self, entry: Entry<V>) -> u32 {
        if self.free != NONE {
            let number = self.free;
            let slot = &mut self.blocks[block_of(number)][place_of(number)];
            if let Slot::Empty { next } = *slot {
                self.free = next;
            }
            *slot = Slot::Full(entry);
            return number;
        }
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let blocks = self.blocks.len() - 1;
        let block = &mut self.blocks[blocks];
        block.push(Slot::Full(entry));
        #[expect(clippy::cast_possible_truncation, reason = "there are fewer than `MOST`")]
        let number = (blocks * BLOCK + block.len() - 1) as u32;
        number
    }

    /// Takes an entry out of its slot and out of the order.
    fn empty(&mut self, number: u32) -> Option<V> {
        let next = self.free;
        let slot = self.blocks.get_mut(block_of(number))?.get_mut(place_of(number))?;
        let Slot::Full(entry) = std::mem::replace(slot, Slot::Empty { next }) else { return None };
        self.free = number;
        match self.entry_mut(entry.older) {
            Some(older) => older.newer = entry.newer,
            None => self.oldest = entry.newer,
        }
        match self.entry_mut(entry.newer) {
            Some(newer) => newer.older = entry.older,
            None => self.newest = entry.older,
        }
        if self.is_empty() && self.blocks.len() > 1 {
            // What a rush of entries needed is given back after it.
            self.blocks = Vec::new();
            self.free = NONE;
            self.index = HashTable::new();
        }
        Some(entry.value)
    }
}

fn block_of(number: u32) -> usize {
    (number >> BLOCK_BITS) as usize
}

fn place_of(number: u32) -> usize {
    number as usize & (BLOCK - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use playhouse_engine::{Event, EventId};
    use proptest::prelude::*;

    use super::*;
    use crate::key::{KeyFrom, Keys};

    fn key(number: u16) -> Key {
        Keys::new(KeyFrom::Id).of(&Event::with_id(EventId::from_u128(number.into()), ())).unwrap()
    }

    proptest! {
        #[test]
        fn it_does_what_a_list_of_pairs_does(steps in prop::collection::vec((0..4_u8, 0..3000_u16), 0..5000)) {
            let now = Instant::from_std(std::time::Instant::now());
            let mut queue = KeyedQueue::new();
            let mut model: VecDeque<(u16, u16)> = VecDeque::new();
            for (step, number) in steps {
                let there = model.iter().position(|(known, _)| *known == number);
                match step {
                    0 | 1 => match there {
                        Some(place) => prop_assert_eq!(queue.get_mut(key(number)).copied(), Some(model[place].1)),
                        None => {
                            prop_assert_eq!(queue.get_mut(key(number)), None);
                            queue.push(key(number), now, number);
                            model.push_back((number, number));
                        }
                    },
                    2 => {
                        let removed = there.and_then(|place| model.remove(place)).map(|(_, value)| value);
                        prop_assert_eq!(queue.remove(key(number)), removed);
                    }
                    _ => prop_assert_eq!(queue.pop(), model.pop_front().map(|(_, value)| value)),
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.oldest().is_some(), !model.is_empty());
            }
            while let Some((_, value)) = model.pop_front() {
                prop_assert_eq!(queue.pop(), Some(value));
            }
            prop_assert!(queue.is_empty());
        }
    }
}
