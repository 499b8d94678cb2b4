//! Decoding against bytes that nobody packed: random ones, packed ones with bytes changed, and the saved corpus of
//! `tests/corpus`, to which every finding is added.

use manifest::{Amount, Device, Programs, Queue, Restart, Rights, Service, System, Use};
use proptest::prelude::*;

/// What is accepted packs again, and comes back from that as it was.
fn decode(bytes: &[u8]) -> bool {
    let Ok(system) = System::unpack(bytes) else { return false };
    assert_eq!(System::unpack(&system.pack()), Ok(system));
    true
}

fn sample() -> System {
    let uses = vec![Use { queue: "block".into(), rights: Rights { send: true, mint: true } }];
    let service = |name: &str| Service {
        name: name.into(),
        binary: name.into(),
        priority: 20,
        memory: Amount::Percent(5),
        stack_pages: 16,
        devices: vec![Device::Ports { first: 0x3f8, count: 8, irq: Some(4) }],
        dma_pages: 16,
        provides: vec![Queue { name: name.into(), ring: 32 }],
        uses: uses.clone(),
        restart: Restart::default(),
        persistent: vec![],
        heartbeat_ms: Some(2000),
    };
    let programs = Programs { memory: Amount::Percent(80), stack_pages: 32, priority: 8, uses: vec![] };
    System { memory_pages: 8192, services: vec![service("console"), service("fs")], programs }
}

#[test]
fn the_saved_corpus_never_panics() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        decode(&std::fs::read(entry.expect("an entry").path()).expect("it can be read"));
        seen += 1;
    }
    assert!(seen >= 4, "{seen} files");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        decode(&bytes);
    }

    #[test]
    fn random_bytes_behind_the_right_beginning_never_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..4, Just(0x7f), Just(0xff)], 0..256),
    ) {
        let mut packed = sample().pack();
        packed.truncate(packed.len().min(8));
        packed.extend(bytes);
        decode(&packed);
    }

    #[test]
    fn a_changed_cut_or_lengthened_description_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(), more in prop::collection::vec(any::<u8>(), 0..32),
    ) {
        let mut packed = sample().pack();
        let untouched = changes.is_empty() && !cuts;
        for (at, value) in changes {
            let at = at.index(packed.len());
            packed[at] = value;
        }
        if cuts {
            packed.truncate(cut.index(packed.len()));
        }
        packed.extend(more);
        prop_assert!(decode(&packed) || !untouched, "an untouched description with padding is accepted");
    }
}
