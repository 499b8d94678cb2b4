//! The store is killed before and after each of its system calls, and nobody can tell.

use crate::{KvClient, KvError, MAX_VALUE, MEMORY, run};
use libipc::testing::{kill_everywhere, kill_everywhere_twice};

fn get(store: KvClient, key: &str) -> Result<Vec<u8>, KvError> {
    let mut value = vec![0; MAX_VALUE];
    let length = store.get(key, &mut value)?;
    value.truncate(length as usize);
    Ok(value)
}

#[test]
fn killed_anywhere_it_keeps_what_it_has_acknowledged_and_does_nothing_twice() {
    let deaths = kill_everywhere(|world| {
        let store = KvClient::new(world.serve(MEMORY, run));
        assert_eq!(store.put("tile", b"small"), Ok(()));
        assert_eq!(store.put("token", b"round"), Ok(()));
        assert_eq!(store.put("tile", &[7; MAX_VALUE]), Ok(()));
        assert_eq!(get(store, "tile"), Ok(vec![7; MAX_VALUE]));
        assert_eq!(store.delete("token"), Ok(()), "a delete that is done twice finds no key");
        assert_eq!(get(store, "token"), Err(KvError::NoSuchKey));
        assert_eq!(store.list(""), Ok(vec!["tile".into()]));
    });
    assert!(deaths.deaths >= 20, "{deaths:?}");
}

#[test]
fn killed_again_while_it_recovers_it_still_does() {
    kill_everywhere_twice(|world| {
        let store = KvClient::new(world.serve(MEMORY, run));
        assert_eq!(store.put("tile", b"small"), Ok(()));
        assert_eq!(store.delete("tile"), Ok(()));
    });
}

#[test]
fn what_it_cannot_keep_it_refuses_and_changes_nothing() {
    kill_everywhere(|world| {
        let store = KvClient::new(world.serve(MEMORY, run));
        assert_eq!(store.put("", b"x"), Err(KvError::BadKey));
        assert_eq!(store.put(&"k".repeat(65), b"x"), Err(KvError::BadKey));
        assert_eq!(store.put("k", &[0; MAX_VALUE + 1]), Err(KvError::TooLong));
        assert_eq!(store.delete("k"), Err(KvError::NoSuchKey));
        for number in 0..7 {
            assert_eq!(store.put(&format!("key {number}"), &[number; MAX_VALUE]), Ok(()));
        }
        assert_eq!(store.put("one too many", &[9; MAX_VALUE]), Err(KvError::Full));
        assert_eq!(store.get("key 3", &mut [0; 10]), Err(KvError::ShortBuffer));
        assert_eq!(get(store, "key 3"), Ok(vec![3; MAX_VALUE]));
        assert_eq!(store.list("key 4"), Ok(vec!["key 5".into(), "key 6".into()]));
    });
}

#[test]
fn more_keys_than_an_answer_holds_come_in_several() {
    kill_everywhere(|world| {
        let store = KvClient::new(world.serve(MEMORY, run));
        let all: Vec<String> = (0..20).map(|number| format!("{number:064}")).collect();
        all.iter().for_each(|key| assert_eq!(store.put(key, b""), Ok(())));
        let (mut listed, mut answers) = (Vec::<String>::new(), 0);
        loop {
            let more = store.list(listed.last().map_or("", String::as_str)).unwrap();
            answers += 1;
            if more.is_empty() {
                break;
            }
            listed.extend(more);
        }
        assert_eq!(listed, all);
        assert!(answers > 2);
    });
}
