//! Placement: where programs lie in their address spaces. At random, so that one that finds a way to jump does not know
//! where to.
//!
//! Invariants:
//! 1. Each number comes from the processor's own generator, unasked for before: what a program learns of its own places
//!    says nothing of anybody else's.
//! 2. With `layout=SEED` on the command line the numbers follow from the seed: the same boot gives the same places.
//! 3. A processor without a generator gets numbers from the time-stamp counter, which can be guessed; the log says so.
//! 4. It makes no difference to the number of page tables where an image lies.

use crate::kernel::Kernel;
use crate::machine::Machine;
use abi::PAGE_SIZE;
use abi::layout::{IMAGE_END, IMAGE_MAX, IMAGE_START, Places, STEP};

/// Where the numbers come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Placement {
    /// The seed of the command line.
    seed: Option<u64>,
    /// Of the generator that stands in for the processor's.
    state: u64,
}

impl Placement {
    /// Of a command line; `Err` is the word that is not understood.
    pub fn parse(line: &str) -> Result<Placement, &str> {
        let mut seed = None;
        for word in line.split_ascii_whitespace() {
            if let Some(value) = word.strip_prefix("layout=") {
                seed = Some(value.parse().map_err(|_| word)?);
            }
        }
        Ok(Placement { seed, state: seed.unwrap_or(0) })
    }

    /// Gets ready, and says in the log where it is not random.
    pub(crate) fn begin(&mut self, machine: &mut impl Machine) {
        if self.seed.is_none() && machine.random().is_none() {
            self.state = machine.ticks();
            machine.log(b"kernel: this processor has no random numbers: where programs lie can be guessed\n");
        }
    }

    fn draw(&mut self, machine: &mut impl Machine) -> u64 {
        let random = if self.seed.is_none() { machine.random() } else { None };
        random.unwrap_or_else(|| {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(self.state)
        })
    }
}

/// Numbers without end out of one (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) fn mix(state: u64) -> u64 {
    let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// The base of an image whose highest address is below `end`, by a random number: 23 bits of it say in which 2 MiB, up to
/// 9 more at which page of them.
fn base(random: u64, end: u64) -> u64 {
    let (pages, table) = (end.div_ceil(PAGE_SIZE), STEP / PAGE_SIZE);
    let steps = (IMAGE_END - IMAGE_MAX - IMAGE_START) / STEP;
    // The pages by which it may be moved without touching a further page table.
    let room = pages.next_multiple_of(table) - pages + 1;
    IMAGE_START + random % steps * STEP + (random >> 32) % room * PAGE_SIZE
}

impl<M: Machine> Kernel<M> {
    /// Where an image is to lie that ends at `end` in its file's addresses (at most [`IMAGE_MAX`]).
    pub(crate) fn place_image(&mut self, end: u64) -> u64 {
        base(self.placement.draw(&mut self.machine), end)
    }
    /// Where the rest of a process is to lie.
    pub(crate) fn places(&mut self) -> Places {
        Places::from_raw(self.placement.draw(&mut self.machine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeMachine;
    use proptest::prelude::*;

    #[test]
    fn the_word_is_understood_or_refused() {
        let seed = |line| Placement::parse(line).map(|p| p.seed);
        assert_eq!(seed("quiet layouts=1 exec=6c61796f75743d31"), Ok(None));
        assert_eq!(seed("quiet layout=7"), Ok(Some(7)));
        for word in ["layout=", "layout=x", "layout=-1", "layout=18446744073709551616"] {
            assert_eq!(seed(word), Err(word));
        }
    }

    fn numbers(line: &str, machine: &mut FakeMachine) -> Vec<u64> {
        let mut placement = Placement::parse(line).unwrap();
        placement.begin(machine);
        (0..4).map(|_| placement.draw(machine)).collect()
    }

    #[test]
    fn a_seed_gives_the_same_numbers_whatever_the_machine_has() {
        let mut other = FakeMachine { now: 5, random: Some(9), ..FakeMachine::default() };
        let mut none = FakeMachine { random: None, ..FakeMachine::default() };
        let seven = numbers("layout=7", &mut FakeMachine::default());
        assert_eq!(seven, numbers("layout=7", &mut other));
        assert_eq!(seven, numbers("layout=7", &mut none));
        assert_ne!(seven, numbers("layout=8", &mut none));
        assert!(none.log.is_empty());
    }

    #[test]
    fn without_a_seed_the_machine_decides_and_where_it_cannot_the_clock_and_the_log_says_so() {
        let random = |start| FakeMachine { random: Some(start), ..FakeMachine::default() };
        assert_ne!(numbers("", &mut random(1)), numbers("", &mut random(2)));
        let blind = |now| FakeMachine { now, random: None, ..FakeMachine::default() };
        let (mut early, mut late) = (blind(1), blind(2));
        assert_ne!(numbers("", &mut early), numbers("", &mut late));
        assert!(String::from_utf8_lossy(&early.log).contains("can be guessed"));
        assert!(random(1).log.is_empty());
    }

    proptest! {
        #[test]
        fn an_image_lies_in_its_part_and_takes_no_more_page_tables_than_it_must(
            random in any::<u64>(), pages in prop_oneof![1u64..2000, 1..=IMAGE_MAX / PAGE_SIZE]
        ) {
            let start = base(random, pages * PAGE_SIZE);
            let end = start + pages * PAGE_SIZE;
            prop_assert!(start >= IMAGE_START && end <= IMAGE_END && start.is_multiple_of(PAGE_SIZE));
            prop_assert_eq!((end - 1) / STEP - start / STEP + 1, (pages * PAGE_SIZE).div_ceil(STEP));
        }
    }

    #[test]
    fn images_lie_in_many_places() {
        let places: std::collections::BTreeSet<u64> = (0..4096).map(|n| base(mix(n), 50 * PAGE_SIZE)).collect();
        assert!(places.len() > 4090 && places.iter().any(|place| place % STEP != 0), "{}", places.len());
        let pages: std::collections::BTreeSet<u64> = places.iter().map(|place| place % STEP).collect();
        assert!(pages.len() > 400, "{}", pages.len());
    }
}
