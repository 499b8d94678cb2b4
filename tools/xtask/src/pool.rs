//! Work on many things, several at a time.

use std::{collections::VecDeque, sync::Mutex};

/// As many at a time as there are processors, unless it is said.
pub fn jobs(wanted: Option<usize>) -> usize {
    wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
}

/// Does `work` on each item, `jobs` at a time and begun in order. Each outcome is told to `note`, one after another.
pub fn run<T: Send, O: Send>(
    items: impl IntoIterator<Item = T>,
    jobs: usize,
    work: impl Fn(&T) -> O + Sync,
    note: impl FnMut(T, O) + Send,
) {
    let (queue, note) = (Mutex::new(items.into_iter().collect::<VecDeque<T>>()), Mutex::new(note));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().ok().and_then(|mut queue| queue.pop_front());
                    let Some(item) = next else { return };
                    let outcome = work(&item);
                    let Ok(mut note) = note.lock() else { return };
                    note(item, outcome);
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_worked_on_once_whatever_the_number_of_jobs() {
        for jobs in [1, 3, 20] {
            let mut noted = Vec::new();
            run(0..10u64, jobs, |n| n * n, |n, square| noted.push((n, square)));
            noted.sort_unstable();
            assert_eq!(noted, (0..10).map(|n| (n, n * n)).collect::<Vec<_>>());
        }
    }
}
