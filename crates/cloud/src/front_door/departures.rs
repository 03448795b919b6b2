//! The way out of the front door, to the shards: those who are ready in the same turn go together.
//!
//! A shard that is woken for each of them is put to sleep and woken again, and takes the processor from the very thread that
//! woke it. It must never keep anybody longer than the turn in which he became ready.

use std::cell::RefCell;

use tokio::task::yield_now;

/// Those who leave in this turn, by shard.
pub(super) struct Departures<T>(Box<[RefCell<Vec<T>>]>);

impl<T> Departures<T> {
    /// To so many shards.
    pub(super) fn to(shards: usize) -> Self {
        Self((0..shards).map(|_| RefCell::default()).collect())
    }

    /// Waits until the others who are ready in this turn had theirs, and gives all who go to this shard to the first of them.
    /// `None`: somebody takes this one along.
    pub(super) async fn gather(&self, shard: usize, traveller: T) -> Option<Vec<T>> {
        let Some(waiting) = self.0.get(shard) else {
            return Some(vec![traveller]);
        };
        let is_first = {
            let mut waiting = waiting.borrow_mut();
            waiting.push(traveller);
            waiting.len() == 1
        };
        if !is_first {
            return None;
        }
        yield_now().await;
        Some(waiting.take())
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    /// What each of them is given who come in one turn, to these shards.
    async fn in_one_turn(departures: &Rc<Departures<usize>>, shards: &[usize]) -> Vec<Option<Vec<usize>>> {
        let tasks: Vec<_> = shards
            .iter()
            .enumerate()
            .map(|(number, shard)| {
                let (departures, shard) = (departures.clone(), *shard);
                spawn_local(async move { departures.gather(shard, number).await })
            })
            .collect();
        let mut given = Vec::new();
        for task in tasks {
            given.push(task.await.unwrap());
        }
        given
    }

    #[tokio::test]
    async fn who_are_ready_in_one_turn_go_together_and_nobody_is_kept_for_the_next() {
        let departures = Rc::new(Departures::to(2));
        LocalSet::new()
            .run_until(async {
                let given = in_one_turn(&departures, &[0, 1, 0, 0]).await;
                assert_eq!(given, [Some(vec![0, 2, 3]), Some(vec![1]), None, None]);
                let given = in_one_turn(&departures, &[0]).await;
                assert_eq!(given, [Some(vec![0])]);
            })
            .await;
    }

    #[tokio::test]
    async fn who_wants_to_a_shard_that_is_not_there_goes_alone() {
        assert_eq!(Departures::to(1).gather(1, 'a').await, Some(vec!['a']));
    }
}
