//! The server on the host, killed before and after each of its system calls.

use super::*;
use libipc::testing::kill_everywhere;

#[test]
fn killed_anywhere_it_adds_every_amount_once() {
    kill_everywhere(|world| {
        let client = NamelessClient::new(world.serve(MEMORY, run));
        assert_eq!(client.add(3), Ok(3));
        assert_eq!(client.add(4), Ok(7));
        assert_eq!(client.sum(), Ok(7));
    });
}

#[test]
fn what_it_refuses_changes_nothing() {
    kill_everywhere(|world| {
        let client = NamelessClient::new(world.serve(MEMORY, run));
        assert_eq!(client.add(u64::MAX), Ok(u64::MAX));
        assert_eq!(client.add(1), Err(NamelessError::TooLarge));
        assert_eq!(client.sum(), Ok(u64::MAX));
    });
}
