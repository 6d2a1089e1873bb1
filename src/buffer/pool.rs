//! The room of full batches, kept for those to come.
//!
//! A busy router fills thousands of batches a second. Taking their room from the allocator and giving it back would have the system
//! clear the same pages again and again, which cost as much as hashing the events.

use std::sync::{Mutex, PoisonError};

use crate::event::Block;

/// Blocks kept while nothing is in use: the process has fallen idle and gives its memory back.
const IDLE_SPARE: usize = 4;

/// Empty blocks of one size.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spare: Vec<Block>,
    in_use: usize,
}

impl Pool {
    /// A pool of blocks with room for `size` bytes.
    pub fn new(size: usize) -> Self {
        Self {
            size,
            state: Mutex::default(),
        }
    }

    /// The room of each block.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Takes an empty block.
    pub fn take(&self) -> Block {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_use += 1;
        let spare = state.spare.pop();
        drop(state);
        spare.unwrap_or_else(|| Block::with_capacity(self.size))
    }

    /// Gives a block back.
    pub fn give(&self, mut block: Block) {
        block.clear();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_use = state.in_use.saturating_sub(1);
        state.spare.push(block);
        if state.in_use == 0 {
            state.spare.truncate(IDLE_SPARE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_used_again_and_given_up_when_nothing_is_in_use() {
        let pool = Pool::new(1000);
        let blocks: Vec<_> = (0..10).map(|_| pool.take()).collect();
        assert!(blocks.iter().all(|block| block.capacity() >= 1000));
        for block in blocks {
            pool.give(block);
        }
        assert_eq!(pool.state.lock().unwrap().spare.len(), IDLE_SPARE);
    }
}
