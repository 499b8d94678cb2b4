//! Startup pages against bytes that no parent wrote: random ones, written ones with bytes changed, and the saved corpus of
//! `tests/corpus`, to which every finding is added.

use libipc::Handle;
use libipc::startup::{Startup, StartupBuilder};
use proptest::prelude::*;

/// What is accepted can be read to its end.
fn read(bytes: &[u8]) -> bool {
    let Some(startup) = Startup::parse(bytes) else { return false };
    assert_eq!(startup.args().count(), startup.arg_count());
    let handles = startup.handles().count();
    assert!(startup.envs().count() + handles <= bytes.len());
    assert!(startup.handles().all(|(name, _)| startup.handle(name).is_some()));
    true
}

fn sample() -> Vec<u8> {
    let mut startup = StartupBuilder::new();
    startup.arg("/bin/program").arg("").arg("zwölf").env("pwd", "/a b");
    startup.handle("self", Handle::new(1, 2)).handle("account", Handle::new(3, 4));
    startup.finish().expect("it is short")
}

#[test]
fn the_saved_corpus_is_refused_or_read_to_its_end() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let mut taken: Vec<String> = Vec::new();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let entry = entry.expect("an entry");
        if read(&std::fs::read(entry.path()).expect("it can be read")) {
            taken.push(entry.file_name().to_string_lossy().into_owned());
        }
        seen += 1;
    }
    taken.sort();
    assert!(seen >= 15, "{seen} files");
    assert_eq!(taken, ["nothing-at-all", "the-same-name-twice"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_bytes_are_refused_or_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        read(&bytes);
        let mut behind = sample();
        behind.truncate(12);
        behind.extend(bytes);
        read(&behind);
    }

    #[test]
    fn changed_pages_are_refused_or_read_to_their_end(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5), cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut pages = sample();
        for (at, value) in changes {
            let at = at.index(pages.len());
            pages[at] = value;
        }
        pages.truncate(if cuts { cut.index(pages.len()) } else { pages.len() });
        read(&pages);
    }

    #[test]
    fn whatever_is_written_is_read(args in prop::collection::vec(".{0,20}", 0..8), handles in prop::collection::vec(any::<u64>(), 0..8)) {
        let mut startup = StartupBuilder::new();
        for arg in &args {
            startup.arg(arg);
        }
        for (number, handle) in handles.iter().enumerate() {
            startup.handle(&format!("cap{number}"), Handle::from_raw(*handle));
        }
        let pages = startup.finish().expect("it is short");
        let read = Startup::parse(&pages).expect("it is well-formed");
        prop_assert_eq!(read.args().collect::<Vec<_>>(), args);
        prop_assert_eq!(read.handles().map(|(_, handle)| handle.raw()).collect::<Vec<_>>(), handles);
    }
}
