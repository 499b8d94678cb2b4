//! What is right in a description, and how what is wrong is said.

use super::*;
use manifest::{Rights, System};

const HEAD: &str = "[system]\nmemory = \"32M\"\n[programs]\nmemory = \"80%\"\nstack = \"64K\"\npriority = 8\n";

fn with(services: &str) -> Result<System, BadDescription> {
    let binaries = ["console", "block", "fs"].map(String::from);
    parse("system.toml", &format!("{HEAD}{services}"), &binaries).map(|description| description.system)
}

fn service(name: &str, more: &str) -> String {
    format!("[service.{name}]\npriority = 9\nmemory = \"1M\"\nstack = \"64K\"\n{more}\n")
}

fn complaint(services: &str) -> String {
    with(services).expect_err("it must be refused").to_string()
}

#[test]
fn services_start_after_those_whose_queues_they_use() {
    let text = service("fs", "provides=['fs']\nuses=['block', 'init']") + &service("block", "provides=['block']");
    let system = with(&text).expect("it is sound");
    let names: Vec<&str> = system.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["block", "fs"]);
    assert_eq!(system.provider("block").map(|service| service.name.as_str()), Some("block"));
}

#[test]
fn everything_that_can_be_said_arrives() {
    let more = "binary='fs'\ndma='64K'\nheartbeat='2s'\nrestart={max_attempts=5, backoff='20ms'}\n\
        devices=[{pci=['1af4:1042','1af4:1001']}, {ports='0x70-0x71'}]\n\
        provides=[{name='block', ring=64}]\nuses=[{queue='init', rights=['send','mint']}]\n\
        persistent=[{name='cache', size='10%', dma=true}, {name='log', size='4K'}]";
    let system = with(&service("block", more)).expect("it is sound");
    let block = &system.services[0];
    assert_eq!((block.binary.as_str(), block.dma_pages, block.heartbeat_ms), ("fs", 16, Some(2000)));
    assert_eq!(block.restart, Restart { max_attempts: 5, backoff_ms: 20, backoff_max_ms: 1000 });
    assert!(matches!(&block.devices[0], Device::Pci { ids } if ids.len() == 2 && ids[0].device == 0x1042));
    assert_eq!(block.devices[1], Device::Ports { first: 0x70, count: 2, irq: None });
    assert_eq!(block.provides[0].ring, 64);
    assert_eq!(block.uses[0].rights, Rights { send: true, mint: true });
    assert_eq!((block.persistent[0].size, block.persistent[0].dma), (Amount::Percent(10), true));
    assert!(!block.persistent[1].dma);
    assert_eq!(system.memory_pages, 8192);
}

#[test]
fn a_misspelt_queue_is_shown_with_its_place_and_the_nearest_name() {
    let shown = complaint(&(service("block", "provides=['block']") + &service("fs", "uses = ['blok']")));
    assert!(shown.contains("error: no service provides a queue named `blok`"), "{shown}");
    assert!(shown.contains("--> system.toml:16:9\n"), "{shown}");
    assert!(shown.contains("16 | uses = ['blok']\n   |         ^^^^^^\n"), "{shown}");
    assert!(shown.contains("= help: did you mean `block`?"), "{shown}");
}

#[test]
fn a_misspelt_key_is_shown_with_the_nearest_one() {
    let shown = complaint(&service("fs", "prorvides = ['fs']"));
    assert!(shown.contains("unknown key `prorvides`") && shown.contains("did you mean `provides`?"), "{shown}");
    assert!(shown.contains("--> system.toml:11:1\n"), "{shown}");
}

#[test]
fn a_misspelt_key_of_a_device_is_pointed_at() {
    let shown = complaint(&service("fs", "devices = [{ urat = 'com1' }]"));
    assert!(shown.contains("unknown key `urat`") && shown.contains("did you mean `uart`?"), "{shown}");
    assert!(shown.contains("--> system.toml:11:14\n"), "{shown}");
}

#[test]
fn services_that_use_each_other_are_refused_with_the_circle() {
    let shown = complaint(
        &(service("fs", "provides=['fs']\nuses=['block']") + &service("block", "provides=['block']\nuses=['fs']")),
    );
    assert!(shown.contains("in a circle: fs -> block -> fs"), "{shown}");
    assert!(complaint(&service("fs", "provides=['fs']\nuses=['fs']")).contains("fs -> fs"));
}

#[test]
fn two_providers_of_one_queue_are_refused() {
    let shown = complaint(&(service("fs", "provides=['disk']") + &service("block", "provides=['disk']")));
    assert!(shown.contains("the queue `disk` is already provided by"), "{shown}");
    assert!(complaint(&service("fs", "provides=['init']")).contains("is init's own"));
}

#[test]
fn a_service_described_twice_is_refused() {
    let shown = complaint(&(service("fs", "") + &service("fs", "")));
    assert!(shown.contains("duplicate key"), "{shown}");
    assert!(shown.contains("--> system.toml:12:"), "{shown}");
}

#[test]
fn a_binary_that_nobody_builds_is_refused() {
    let shown = complaint(&service("bloc", ""));
    assert!(
        shown.contains("no server has a binary named `bloc`") && shown.contains("did you mean `block`?"),
        "{shown}"
    );
}

#[test]
fn quotas_above_the_machine_are_refused() {
    let shown = complaint(&service("fs", "persistent=[{name='cache', size='30M'}, {name='log', size='4M'}]"));
    assert!(shown.contains("add up to 35840 KiB, and the machine has 32768 KiB"), "{shown}");
    assert!(shown.contains("= help: raise this; most goes to `fs`"), "{shown}");
    let shown = complaint(&service("fs", "persistent=[{name='cache', size='30%'}]"));
    assert!(shown.contains("the shares of memory add up to 110 %"), "{shown}");
}

#[test]
fn all_problems_are_told_at_once_in_order_of_the_file() {
    let problems = with(&service("fs", "uses=['x']\nheartbeat='soon'\ndma='lots'")).expect_err("bad").0.problems;
    let starts: Vec<usize> = problems.iter().map(|problem| problem.at.start).collect();
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(starts.is_sorted());
}

#[test]
fn wrong_values_say_what_is_right() {
    for (line, said) in [
        ("heartbeat = '5'", "not a time"),
        ("memory = '10% up to x'", "up to"),
        ("dma = '10%'\ndevices = [{ pci = '1af4:1042' }]", "no share"),
        ("dma = '513K'\ndevices = [{ pci = '1af4:1042' }]", "at most 512K"),
        ("heartbeat = '0s'", "a heartbeat takes some time"),
        ("heartbeat = 5", "expected a time in quotes, such as \"50ms\" or \"2s\""),
        ("dma = 64", "invalid type: integer `64`, expected an amount of memory in quotes"),
        ("binary = 3", "expected a name in quotes"),
        ("restart = { max_attempts = '3' }", "expected a whole number without quotes"),
        ("provides = 'fs'", "expected a sequence"),
        ("uses = [{ queue = 'init', rigths = ['send'] }]", "did you mean `rights`?"),
        ("provides = [{ name = 'fs', rng = 32 }]", "did you mean `ring`?"),
        ("persistent = [{ name = 'cache', size = '64X' }]", "`64X` is not an amount of memory"),
        ("persistent = [{ name = 'a', size = '4K' }, { name = 'a', size = '4K' }]", "is described twice"),
        ("devices = [{ uart = 'com9' }]", "no serial port is named `com9`"),
        ("devices = [{ pci = '1af4' }]", "written \"1af4:1042\""),
        ("devices = [{ irq = 3 }]", "one of three kinds"),
        ("devices = [{ ports = '9-3' }]", "\"0x3f8-0x3ff\""),
        ("provides = [7]", "invalid type: integer `7`, expected the name of a queue"),
        ("provides = [{ name = 'fs', ring = 0 }]", "1 to 1024"),
        ("uses = [{ queue = 'init', rights = ['receive'] }]", "no right on a used queue"),
        ("restart = { max_attempts = 0 }", "1 to 255"),
        ("restart = { max_attempts = 256 }", "1 to 255"),
        ("uses = ['init', 'init']", "listed twice"),
    ] {
        let shown = complaint(&service("fs", line));
        assert!(shown.contains(said), "{line}: {shown}");
    }
    assert!(complaint("[service.fs]\nmemory='1M'\nstack='4K'\npriority = 32\n").contains("0 (lowest) to 31, not 32"));
    assert!(complaint("[service.fs]\nstack='4K'\npriority = 3\n").contains("the key `memory` is missing"));
}

/// A description of one service, `fs`, whose lines begin at line 11, and all that is said of it.
fn said(more: &str) -> String {
    complaint(&service("fs", more))
}

#[test]
fn what_a_single_service_asks_for_must_exist() {
    assert_eq!(
        said("persistent = [{ name = 'cache', size = '64M' }]"),
        "error: this is 65536 KiB, and the machine has 32768 KiB\n  \
         --> system.toml:11:40\n   |\n11 | persistent = [{ name = 'cache', size = '64M' }]\n   \
         |                                        ^^^^^\n   \
         = help: ask for less, or raise `memory` under [system]"
    );
    let shown = complaint("[service.fs]\npriority = 9\nmemory = \"64K\"\nstack = \"64K\"\n");
    assert!(shown.contains("error: a stack of 64 KiB does not fit into a memory of 64 KiB\n"), "{shown}");
    let shown = complaint("[service.fs]\npriority = 9\nmemory = \"4M\"\nstack = \"1M\"\n");
    assert!(shown.contains("error: a stack has at most 1016 KiB, not 1024\n"), "{shown}");
    let shown = said("dma = '64K'");
    assert!(shown.contains("`fs` has no device that could reach it") && shown.contains("11 | dma = '64K'"), "{shown}");
}

#[test]
fn hardware_belongs_to_one_service_and_has_one_name_there() {
    let two = |first: &str, second: &str| {
        let devices = |device: &str| format!("devices = [{{ {device} }}]");
        complaint(&(service("console", &devices(first)) + &service("fs", &devices(second))))
    };
    assert_eq!(
        two("uart = 'com1'", "ports = '0x3fc-0x40f'"),
        "error: the range of ports 0x3fc-0x40f belongs to `console` already\n  \
         --> system.toml:16:12\n   |\n16 | devices = [{ ports = '0x3fc-0x40f' }]\n   \
         |            ^^^^^^^^^^^^^^^^^^^^^^^^^"
    );
    let shown = two("uart = 'com1'", "ports = '0x60-0x64', irq = 4");
    assert!(shown.contains("the interrupt line 4 belongs to `console` already"), "{shown}");
    let shown = two("uart = 'com1'", "uart = 'com3'");
    assert!(shown.contains("the interrupt line 4 belongs to `console` already"), "{shown}");
    for (devices, what) in [
        ("{ uart = 'com1' }, { ports = '0x60' }", "a service has one range of ports at most"),
        ("{ pci = '1af4:1042' }, { pci = '1af4:1041' }", "a service has one PCI function at most"),
        ("{ pci = '1af4:1042' }, { ports = '0x60', irq = 1 }", "a service has one interrupt at most"),
    ] {
        let shown = said(&format!("devices = [{devices}]"));
        assert!(shown.contains(what) && shown.contains("--> system.toml:11:"), "{devices}: {shown}");
    }
    let disks =
        service("block", "devices = [{ pci = '1af4:1042' }]") + &service("fs", "devices = [{ pci = '1af4:1042' }]");
    assert!(with(&disks).is_ok(), "two functions of one kind may have a service each");
}

#[test]
fn a_queue_that_nobody_uses_is_warned_of_and_not_refused() {
    let binaries = ["block", "fs", "session"].map(String::from);
    let warned = |services: &str| {
        let read = parse("system.toml", &format!("{HEAD}{services}"), &binaries);
        read.expect("it can be used").warnings.to_string()
    };
    assert_eq!(
        warned(&service("fs", "provides = ['fs', 'spare']")),
        "warning: nobody uses the queue `fs`\n  \
         --> system.toml:11:13\n   |\n11 | provides = ['fs', 'spare']\n   |             ^^^^\n   \
         = help: name it under `uses` of a service or of [programs], or do not provide it\n\n\
         warning: nobody uses the queue `spare`\n  \
         --> system.toml:11:19\n   |\n11 | provides = ['fs', 'spare']\n   |                   ^^^^^^^\n   \
         = help: name it under `uses` of a service or of [programs], or do not provide it"
    );
    let used = service("block", "provides = ['block']") + &service("fs", "uses = ['block']");
    assert_eq!(warned(&used), "");
    assert_eq!(warned(&service("session", "provides = ['session']")), "", "init uses it");
    let programs = HEAD.to_owned() + "uses = ['fs']\n" + &service("fs", "provides = ['fs']");
    assert_eq!(parse("s", &programs, &binaries).expect("it can be used").warnings.to_string(), "");
}

#[test]
fn sizes_are_read_as_people_write_them() {
    assert_eq!(size("64M"), Some(64 << 20));
    assert_eq!(size("64 MiB"), Some(64 << 20));
    assert_eq!(size("4096"), Some(4096));
    assert_eq!((size("M"), size("1T"), size("99999999999G"), size("-1")), (None, None, None, None));
}
