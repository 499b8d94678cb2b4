//! What `system.toml` says, before anybody has asked whether it makes sense: texts and numbers with their places.

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{collections::BTreeMap, fmt};
use toml::Spanned;

/// Values of which an error says what they are meant to be.
macro_rules! values {
    ($($(#[$doc:meta])* $name:ident($inner:ty), $visit:ident($given:ty), $expecting:literal;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct It;
                impl Visitor<'_> for It {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn $visit<E: de::Error>(self, value: $given) -> Result<$name, E> {
                        Ok($name(value.into()))
                    }
                }
                deserializer.deserialize_any(It)
            }
        }
    )* };
}

values! {
    /// A name, a port, an id.
    Word(String), visit_str(&str), "a name in quotes";
    /// An amount of memory.
    Size(String), visit_str(&str), "an amount of memory in quotes, such as \"64K\"";
    /// A time.
    Time(String), visit_str(&str), "a time in quotes, such as \"50ms\" or \"2s\"";
    /// A number.
    Number(i64), visit_i64(i64), "a whole number without quotes";
}

pub type Text = Spanned<Word>;
pub type Amount = Spanned<Size>;
pub type Period = Spanned<Time>;
pub type Count = Spanned<Number>;

/// The text in a value with a place.
pub fn text(word: &Text) -> &str {
    &word.as_ref().0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    pub system: Machine,
    pub programs: Programs,
    #[serde(default)]
    pub service: BTreeMap<Text, Service>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    pub memory: Amount,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Programs {
    pub memory: Amount,
    pub stack: Amount,
    pub priority: Count,
    #[serde(default)]
    pub uses: Vec<Spanned<Use>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub binary: Option<Text>,
    pub priority: Count,
    pub memory: Amount,
    pub stack: Amount,
    pub dma: Option<Amount>,
    pub heartbeat: Option<Period>,
    pub restart: Option<Restart>,
    #[serde(default)]
    pub devices: Vec<Spanned<Device>>,
    #[serde(default)]
    pub provides: Vec<Spanned<Queue>>,
    #[serde(default)]
    pub uses: Vec<Spanned<Use>>,
    #[serde(default)]
    pub persistent: Vec<Persistent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    pub max_attempts: Option<Count>,
    pub backoff: Option<Period>,
    pub backoff_max: Option<Period>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistent {
    pub name: Text,
    pub size: Amount,
    pub dma: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    pub uart: Option<Text>,
    pub ports: Option<Text>,
    pub irq: Option<Count>,
    pub pci: Option<Spanned<OneOrMore>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a PCI id such as \"1af4:1042\", or a list of them")]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A provided queue: its name, or a table.
pub struct Queue {
    pub name: String,
    pub ring: Option<Count>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueTable {
    name: Word,
    ring: Option<Count>,
}

/// A used queue: its name, or a table.
pub struct Use {
    pub queue: String,
    pub rights: Option<Vec<Text>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UseTable {
    queue: Word,
    rights: Vec<Text>,
}

/// A type that is written as a name or as a table.
macro_rules! name_or_table {
    ($($name:ident, $table:ident, $of_name:expr, $of_table:expr, $expecting:literal;)*) => { $(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct It;
                impl<'de> Visitor<'de> for It {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, name: &str) -> Result<$name, E> {
                        Ok($of_name(name.to_owned()))
                    }
                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$name, A::Error> {
                        $table::deserialize(MapAccessDeserializer::new(map)).map($of_table)
                    }
                }
                deserializer.deserialize_any(It)
            }
        }
    )* };
}

name_or_table! {
    Queue, QueueTable, |name| Queue { name, ring: None }, |table| Queue { name: table.name.0, ring: table.ring },
        "the name of a queue in quotes, or { name = \"...\", ring = 32 }";
    Use, UseTable, |queue| Use { queue, rights: None }, |table| Use { queue: table.queue.0, rights: Some(table.rights) },
        "the name of a queue in quotes, or { queue = \"...\", rights = [\"send\"] }";
}
