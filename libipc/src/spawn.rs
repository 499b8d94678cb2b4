//! Starting programs. Everything a child is made of is paid for by an account of its own, so that its end returns all.

mod child;
mod command;
mod image;

pub use child::{Child, shell_status};
pub use command::{Command, SpawnError};
pub use image::Image;
