//! Keeps values under keys in the service `kv`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::{string::String, vec};
use kv::{KvClient, MAX_VALUE};
use userland::{Accepts, Given, Program, Stop};

userland::program!(
    Accepts::operands(1, 3).about("put KEY VALUE | get KEY | delete KEY | list", "keep values under keys"),
    run
);

fn run(program: &mut Program, given: &Given<'_>) -> Result<(), Stop> {
    let store = KvClient::new(program.service("kv")?);
    match given.operands[..] {
        ["put", key, value] => store.put(key, value.as_bytes()).map_err(Stop::service),
        ["get", key] => {
            let mut value = vec![0; MAX_VALUE];
            let length = store.get(key, &mut value).map_err(Stop::service)?;
            program.write(&value[..length as usize])?;
            program.say("\n")
        }
        ["delete", key] => store.delete(key).map_err(Stop::service),
        ["list"] => list(program, store),
        _ => Err(Stop::usage("say what is to be done".into())),
    }
}

fn list(program: &mut Program, store: KvClient) -> Result<(), Stop> {
    let mut last = String::new();
    loop {
        let keys = store.list(&last).map_err(Stop::service)?;
        for key in &keys {
            program.say(key)?;
            program.say("\n")?;
        }
        match keys.into_iter().next_back() {
            Some(key) => last = key,
            None => return Ok(()),
        }
    }
}
