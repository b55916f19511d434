//! The memory of large tensors: ranges of addresses, cut and joined again.
//!
//! Why not malloc: the small things that it keeps among large blocks hold these apart, so that blocks of another shape find
//! no room in what the last batch gave back; and blocks of more than 32 MB it takes from the system anew each time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// More is asked for at once, in bytes: what is taken in few pieces can be joined.
const FEWEST: usize = 64 << 20;
/// What the system is asked for is a multiple of this, in bytes; a large page.
const PIECE: usize = 2 << 20;
/// Blocks begin at multiples of this, in bytes: a line of the cache, which vector instructions want.
const LINE: usize = 64;

/// Ranges of memory: addresses and bytes, some in use. It only counts, and touches none of it.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    free: BTreeMap<usize, usize>,
    /// The same by bytes, then addresses.
    by_size: BTreeSet<(usize, usize)>,
    used: HashMap<usize, usize>,
    held: usize,
}

impl Blocks {
    /// `bytes` more at `address`, from the system.
    pub(crate) fn add(&mut self, address: usize, bytes: usize) {
        self.held += bytes;
        self.join(address, bytes);
    }

    /// How much more to ask the system for where no block of `bytes` is free. `None`: no machine has as much.
    pub(crate) fn growth(&self, bytes: usize) -> Option<usize> {
        let wanted = size_of_block(bytes)?.max(FEWEST).max(self.held / 4);
        wanted.checked_next_multiple_of(PIECE)
    }

    /// The address of a block of `bytes`, if one is free: the end of the smallest range that has it. The end, since the
    /// system most often puts new memory right below what it gave before; what was never touched stays together there.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<usize> {
        let bytes = size_of_block(bytes)?;
        let &(size, start) = self.by_size.range((bytes, 0)..).next()?;
        self.remove(start, size);
        if size > bytes {
            self.insert(start, size - bytes);
        }
        let address = start + size - bytes;
        self.used.insert(address, bytes);
        Some(address)
    }

    /// Frees the block at `address`; whether there is one.
    pub(crate) fn give(&mut self, address: usize) -> bool {
        let Some(bytes) = self.used.remove(&address) else {
            return false;
        };
        self.join(address, bytes);
        true
    }

    /// Is a block at `address` in use?
    #[cfg(test)]
    pub(crate) fn has(&self, address: usize) -> bool {
        self.used.contains_key(&address)
    }

    /// A free range, with its free neighbours.
    fn join(&mut self, mut address: usize, mut bytes: usize) {
        if let Some(&behind) = self.free.get(&(address + bytes)) {
            self.remove(address + bytes, behind);
            bytes += behind;
        }
        if let Some((&before, &size)) = self.free.range(..address).next_back()
            && before + size == address
        {
            self.remove(before, size);
            address = before;
            bytes += size;
        }
        self.insert(address, bytes);
    }

    fn insert(&mut self, address: usize, bytes: usize) {
        self.free.insert(address, bytes);
        self.by_size.insert((bytes, address));
    }

    fn remove(&mut self, address: usize, bytes: usize) {
        self.free.remove(&address);
        self.by_size.remove(&(bytes, address));
    }
}

/// What a block of `bytes` takes. A line more than needed: tensors of a power of two would all begin at the same place of
/// a page otherwise, and operations that read several at once share a few lines of the cache.
fn size_of_block(bytes: usize) -> Option<usize> {
    bytes.checked_next_multiple_of(LINE)?.checked_add(LINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is done: a block of so many bytes, or the end of one that is in use.
    #[derive(Debug, Clone)]
    enum Deed {
        Take(usize),
        Give(prop::sample::Index),
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let deed = prop_oneof![
            (1_usize..40 << 20).prop_map(Deed::Take),
            any::<prop::sample::Index>().prop_map(Deed::Give),
        ];
        prop::collection::vec(deed, 1..200)
    }

    /// As the system gives memory: each piece right below the last one, or, every third time, elsewhere.
    struct System {
        next: usize,
        pieces: Vec<(usize, usize)>,
    }

    impl System {
        fn map(&mut self, bytes: usize) -> usize {
            let gap = if self.pieces.len() % 3 == 2 { PIECE } else { 0 };
            self.next -= bytes + gap;
            self.pieces.push((self.next, bytes));
            self.next
        }
    }

    fn taken(blocks: &mut Blocks, system: &mut System, bytes: usize) -> usize {
        if let Some(address) = blocks.take(bytes) {
            return address;
        }
        let more = blocks.growth(bytes).expect("a number");
        blocks.add(system.map(more), more);
        blocks.take(bytes).expect("there is room now")
    }

    proptest! {
        #[test]
        fn blocks_never_overlap_and_lie_in_what_the_system_gave(deeds in deeds()) {
            let (mut blocks, mut system) = (Blocks::default(), System { next: 1 << 46, pieces: Vec::new() });
            let mut live: Vec<(usize, usize)> = Vec::new();
            for deed in deeds {
                match deed {
                    Deed::Take(bytes) => {
                        let address = taken(&mut blocks, &mut system, bytes);
                        prop_assert!(address.is_multiple_of(LINE));
                        prop_assert!(
                            live.iter().all(|&(other, size)| address + bytes <= other || other + size <= address)
                        );
                        // Of one piece or of several that lie side by side.
                        let inside = |at: usize| system.pieces.iter().any(|&(start, size)| (start..start + size).contains(&at));
                        prop_assert!((address..address + bytes).step_by(PIECE).all(inside) && inside(address + bytes - 1));
                        live.push((address, bytes));
                    }
                    Deed::Give(which) if !live.is_empty() => {
                        let (address, _) = live.swap_remove(which.index(live.len()));
                        prop_assert!(blocks.give(address));
                        prop_assert!(!blocks.give(address), "freed twice");
                    }
                    Deed::Give(_) => {}
                }
            }
            for (address, _) in live {
                prop_assert!(blocks.give(address));
            }
            // All of it is whole again.
            let given: usize = system.pieces.iter().map(|(_, size)| size).sum();
            prop_assert_eq!(blocks.free.values().sum::<usize>(), given);
            prop_assert_eq!(blocks.by_size.len(), blocks.free.len());
            // One range between two gaps.
            let ranges = if system.pieces.is_empty() { 0 } else { system.pieces.len() / 3 + 1 };
            prop_assert_eq!(blocks.free.len(), ranges);
            prop_assert!(blocks.used.is_empty());
        }
    }

    #[test]
    fn what_a_batch_gave_back_is_used_by_one_of_another_shape() {
        let (mut blocks, mut system) = (
            Blocks::default(),
            System {
                next: 1 << 46,
                pieces: Vec::new(),
            },
        );
        for tokens in [128, 40, 97, 61, 128, 33] {
            let layers: Vec<usize> = (0..48)
                .map(|place| taken(&mut blocks, &mut system, (place % 4 + 1) * tokens * (16 << 10)))
                .collect();
            assert!(layers.iter().rev().all(|address| blocks.give(*address)));
        }
        let largest: usize = (0..48).map(|place| (place % 4 + 1) * 128 * (16 << 10)).sum();
        // What the first and largest batch needed, and what the system was asked for at once.
        assert!(blocks.held <= largest + largest / 4 + FEWEST, "{}", blocks.held);
    }

    #[test]
    fn sizes_that_no_machine_has_are_refused() {
        let mut blocks = Blocks::default();
        assert_eq!((blocks.take(usize::MAX), blocks.growth(usize::MAX)), (None, None));
        assert_eq!((blocks.take(1), blocks.growth(1)), (None, Some(FEWEST)));
    }
}
